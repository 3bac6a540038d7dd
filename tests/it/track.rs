//! Trackers and tables: TensorBoard, MLflow, pandas and polars read the values of the records, whatever happened on the way.
//! Their own readers check this (`scripts/trackers_check.py`) if `LANDMARK_SWEEP_PYTHON` names a Python that has them.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process_group};
use sweep_testing::python;

use crate::harness::{SWEEP, Sandbox, ended, running, send, wait_for};

const DEFINITION: &str = r#"
name = "tiny"
question = "Is it all there?"
seeds = [0, 1]
[axes]
"loss.name" = ["l1", "nll"]
"optimizer.lr" = [1e-3]
[trial]
epochs = 8
evaluate_every = 2
batch_size = 2
dataset = { name = "phantom", train = 8, val = 4, height = 32, width = 32 }
input = { height = 32, width = 32 }
model = { name = "unet", filters = [4, 8] }
optimizer = { name = "adamw" }
"#;

const RUN: [&str; 7] = ["run", "tiny.toml", "--quiet", "--jobs", "1", "--threads", "1"];

/// Runs the trackers' own readers.
fn look(python: &Path, sandbox: &Sandbox, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/trackers_check.py");
    let mut command = sandbox.command(python.to_str().unwrap());
    let output = command.arg(script).args(arguments).env("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// Starts a sweep and kills runner and trial, like a power cut.
fn cut_short(sandbox: &Sandbox, track: &str) {
    let begun = sandbox.start(&[&RUN[..], &["--track", track]].concat());
    let (_, trial) = running(&sandbox.path("results/tiny"), 3);
    // Trackers are updated every other second.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    begun.signal(Signal::KILL);
    send(trial, Signal::KILL);
    begun.output();
}

#[test]
fn tensorboard_reads_every_epoch_once_after_kills_and_reruns() {
    let Some(python) = python("tensorboard") else { return };
    let sandbox = Sandbox::new(DEFINITION);
    let track = [&RUN[..], &["--track", "tensorboard"]].concat();
    let check = |logdir: &str| look(&python, &sandbox, &["tensorboard", logdir, "results/tiny"]);
    cut_short(&sandbox, "tensorboard");
    sandbox.expect(0, &track);
    assert!(check("results/tiny/tensorboard").contains("4 trials"));
    // Run again with different durations of epochs: the same losses, other seconds.
    sandbox.expect(0, &[&track[..], &["--rerun"]].concat());
    check("results/tiny/tensorboard");
    // Without having tracked the run.
    sandbox.expect(0, &["export", "tensorboard", "results/tiny", "events"]);
    check("events");
    // Epochs that are no longer in the records are removed from the event files too.
    let folder = crate::harness::trial_folders(&sandbox.path("results/tiny")).remove(0);
    let text = fs::read_to_string(folder.join("epochs.csv")).unwrap();
    let cut: Vec<&str> = text.lines().take(6).collect();
    fs::write(folder.join("epochs.csv"), cut.join("\n") + "\n").unwrap();
    sandbox.expect(0, &["export", "tensorboard", "results/tiny", "events"]);
    check("events");
}

#[test]
fn a_tracker_that_is_away_holds_up_nothing() {
    let sandbox =
        Sandbox::new(&DEFINITION.replace("epochs = 8", "epochs = 2").replace("seeds = [0, 1]", "seeds = [0]"));
    // Nothing listens on a port that was free a moment ago.
    let address = format!("http://127.0.0.1:{}", free_port());
    let said = sandbox.expect(0, &[&RUN[..], &["--track", &format!("mlflow={address}")]].concat());
    assert!(said.contains("not tracked for now, training goes on") && said.contains(&address), "{said}");
    assert!(said.contains("the next run, or sweep export, tells the tracker the rest"), "{said}");
    assert_eq!(sandbox.states("results/tiny"), ["done", "done"]);
    let said = sandbox.expect(2, &["export", "mlflow", "results/tiny", &address]);
    assert!(said.contains("it does not answer"), "{said}");
    // Impossible settings are reported before anything is trained.
    for (track, right) in [("mlflow", "MLFLOW_TRACKING_URI"), ("mlflow=sqlite:///a.db", "http://localhost:5000")] {
        let said = sandbox.expect(2, &["run", "tiny.toml", "--results", "other", "--track", track]);
        assert!(said.contains(right) && !sandbox.path("other").exists(), "{said}");
    }
}

#[test]
fn who_asks_is_told_to_the_server_and_to_nobody_else() {
    let sandbox =
        Sandbox::new(&DEFINITION.replace("epochs = 8", "epochs = 2").replace("seeds = [0, 1]", "seeds = [0]"));
    sandbox.expect(0, &RUN);
    // A server that denies access, and remembers its clients.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(String::new()));
    let remembers = Arc::clone(&heard);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            remembers.lock().unwrap().push_str(&String::from_utf8_lossy(&request[..read]));
            let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let export = ["export", "mlflow", "results/tiny"];
    let name_and_password = [("MLFLOW_TRACKING_USERNAME", "ada"), ("MLFLOW_TRACKING_PASSWORD", "hunter2")];
    for (secrets, header) in [
        (&name_and_password[..], "authorization: basic YWRhOmh1bnRlcjI="),
        (&[("MLFLOW_TRACKING_TOKEN", "s3cret")][..], "authorization: bearer s3cret"),
    ] {
        let mut command = sandbox.command(SWEEP);
        command.args(export).env("MLFLOW_TRACKING_URI", &address).envs(secrets.iter().copied());
        let output = command.output().unwrap();
        let said = ended(2, &output, &export) + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("401") && said.contains("MLFLOW_TRACKING_TOKEN"), "{said}");
        let heard = std::mem::take(&mut *heard.lock().unwrap());
        assert!(heard.to_lowercase().contains(&header.to_lowercase()), "{heard}");
        for secret in ["hunter2", "s3cret", "YWRhOmh1bnRlcjI"] {
            assert!(!said.contains(secret), "{said}");
            let found = Command::new("grep").args(["-rl", secret]).arg(sandbox.path("results")).output().unwrap();
            assert!(found.stdout.is_empty(), "{}", String::from_utf8_lossy(&found.stdout));
        }
    }
    // A password in an address would be visible to everybody.
    let said = sandbox.expect(2, &["export", "mlflow", "results/tiny", "http://ada:hunter2@localhost:5000"]);
    assert!(said.contains("MLFLOW_TRACKING_PASSWORD") && !said.contains("hunter2"), "{said}");
}

#[test]
fn an_encrypted_server_is_asked_where_its_certificate_is_trusted() {
    let sandbox =
        Sandbox::new(&DEFINITION.replace("epochs = 8", "epochs = 1").replace("seeds = [0, 1]", "seeds = [0]"));
    sandbox.expect(0, &RUN);
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    sandbox.write("cert.pem", &made.cert.pem());
    sandbox.write("empty.pem", "");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    sandbox.write("other.pem", &other.cert.pem());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let (config, listener) = (Arc::new(config), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut request = [0; 4096];
            // A client that does not trust the certificate disconnects here.
            if stream.read(&mut request).is_ok_and(|read| request[..read].starts_with(b"GET /api/")) {
                let _ =
                    stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    let address = format!("https://localhost:{port}");
    let export = ["export", "mlflow", "results/tiny", &address];
    let says = |variables: &[(&str, &str)]| {
        let mut command = sandbox.command(SWEEP);
        command.args(export).envs(variables.iter().copied());
        ended(2, &command.output().unwrap(), &export)
    };
    for trusted in [("MLFLOW_TRACKING_SERVER_CERT_PATH", "cert.pem"), ("MLFLOW_TRACKING_INSECURE_TLS", "true")] {
        let said = says(&[trusted]);
        assert!(said.contains("answers 401"), "{trusted:?}: {said}");
    }
    for variables in [&[][..], &[("MLFLOW_TRACKING_SERVER_CERT_PATH", "other.pem")]] {
        let said = says(variables);
        assert!(said.contains("certificate") && said.contains("MLFLOW_TRACKING_SERVER_CERT_PATH"), "{said}");
        assert!(!said.contains("401"), "nothing is said to a server that is not trusted: {said}");
    }
    let said = says(&[("MLFLOW_TRACKING_SERVER_CERT_PATH", "empty.pem")]);
    assert!(said.contains("no certificates are known"), "{said}");
    let said = says(&[("MLFLOW_TRACKING_SERVER_CERT_PATH", "nowhere.pem")]);
    assert!(said.contains("nowhere.pem"), "{said}");
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `mlflow server` with a database; ended when dropped.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    fn start(python: &Path, sandbox: &Sandbox) -> Self {
        let port = free_port();
        let mut command = sandbox.command(python.to_str().unwrap());
        command.args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1", "--port", &port.to_string()]);
        command.args(["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artifacts"]);
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        let log = fs::File::create(sandbox.path("mlflow.log")).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null()).process_group(0);
        let server = Self { child: command.spawn().unwrap(), port };
        wait_for("the MLflow server", || {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
            stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.contains("200 OK").then_some(())
        });
        server
    }

    fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process_group(group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The address of a proxy to a server that drops every `nth` response: the server has carried out the request, but the
/// client does not learn it.
fn lossy(port: u16, nth: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let lost = Arc::new(AtomicUsize::new(0));
    let (count, counted) = (AtomicUsize::new(0), Arc::clone(&lost));
    let count = Arc::new(count);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
            let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from_client, &mut to_server);
                let _ = to_server.shutdown(Shutdown::Both);
            });
            let (count, lost) = (Arc::clone(&count), Arc::clone(&counted));
            std::thread::spawn(move || {
                let (mut client, mut server) = (client, server);
                let mut bytes = vec![0; 1 << 20];
                while let Ok(read @ 1..) = server.read(&mut bytes) {
                    if bytes.starts_with(b"HTTP/") && count.fetch_add(1, Ordering::Relaxed) % nth == nth - 1 {
                        lost.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    if client.write_all(&bytes[..read]).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    });
    (address, lost)
}

#[test]
fn mlflow_has_every_number_once_whatever_is_lost_on_the_way() {
    let Some(python) = python("mlflow") else { return };
    let sandbox = Sandbox::new(DEFINITION);
    let server = Server::start(&python, &sandbox);
    let check = || look(&python, &sandbox, &["mlflow", &server.address(), "results/tiny"]);

    // Interrupted, then through a proxy that drops responses, again and again until everything is sent.
    cut_short(&sandbox, &format!("mlflow={}", server.address()));
    let (address, lost) = lossy(server.port, 9);
    sandbox.expect(0, &[&RUN[..], &["--track", &format!("mlflow={address}")]].concat());
    for _ in 0..30 {
        if sandbox.sweep(&["export", "mlflow", "results/tiny", &address]).status.success() {
            break;
        }
    }
    assert!(lost.load(Ordering::Relaxed) > 3, "only {lost:?} answers were lost");
    sandbox.expect(0, &["export", "mlflow", "results/tiny", &server.address()]);
    let output = check();
    assert!(output.contains("2 configurations, 4 trials"), "{output}");
    // Sent again, or trained again with the same numbers, nothing changes.
    sandbox.expect(0, &["export", "mlflow", "results/tiny", &server.address()]);
    assert_eq!(check(), output);

    // A sweep of another name that the server never saw, sent afterwards.
    let other = DEFINITION.replace("\"tiny\"", "\"late\"");
    sandbox.write("late.toml", &other.replace("epochs = 8", "epochs = 3"));
    sandbox.expect(0, &["run", "late.toml", "--quiet", "--jobs", "1", "--threads", "1"]);
    sandbox.expect(0, &["export", "mlflow", "results/late", &server.address()]);
    look(&python, &sandbox, &["mlflow", &server.address(), "results/late"]);
}

#[test]
fn one_table_of_many_sweeps_is_what_each_says() {
    let sandbox = Sandbox::new(&DEFINITION.replace("epochs = 8", "epochs = 3"));
    sandbox.expect(0, &RUN);
    let other = DEFINITION.replace("\"tiny\"", "\"other\"").replace("epochs = 8", "epochs = 2");
    let other =
        other.replace("\"loss.name\" = [\"l1\", \"nll\"]", "\"batch_size\" = [1, 2]").replace("batch_size = 2\n", "");
    sandbox.write("other.toml", &(other + "loss = { name = \"mse\" }\n"));
    sandbox.expect(0, &["run", "other.toml", "--quiet", "--jobs", "1", "--threads", "1"]);

    let read = |name: &str| csv::Reader::from_path(sandbox.path(name)).unwrap();
    for (table, rows) in [("trials", 8), ("summary", 8), ("epochs", 4 * 3 + 4 * 2)] {
        sandbox.expect(0, &["export", "csv", "results", "--table", table, "--output", &format!("{table}.csv")]);
        let mut written = read(&format!("{table}.csv"));
        let header: Vec<String> = written.headers().unwrap().iter().map(str::to_owned).collect();
        let axes = ["batch_size", "optimizer.lr", "loss.name"];
        assert_eq!(header[..6], [&["sweep", "trial", "seed"][..], &axes].concat(), "{table}");
        assert_eq!(written.records().count(), rows, "{table}");
    }
    // Every setting of a trial is a column, beside its state.
    let mut trials = read("trials.csv");
    let header = trials.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|own| own == name).unwrap_or_else(|| panic!("{name}: {header:?}"));
    let (state, epochs, network) = (column("state"), column("epochs"), column("model.name"));
    for row in trials.records().map(Result::unwrap) {
        let planned = if &row[0] == "tiny" { "3" } else { "2" };
        assert_eq!((&row[state], &row[epochs], &row[network]), ("done", planned, "unet"));
    }
    assert_eq!(header.iter().filter(|name| *name == "seed" || *name == "loss.name").count(), 2, "each stands once");
    // A key that is not an axis of a sweep is taken from its trials' configuration.
    let row = |row: csv::StringRecord| row.iter().take(6).map(str::to_owned).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = read("summary.csv").into_records().map(|r| row(r.unwrap())).collect();
    let of = |sweep: &str| rows.iter().filter(|row| row[0] == sweep).map(|row| row[3..].join(" ")).collect::<Vec<_>>();
    assert_eq!(of("other"), ["1 0.001 mse", "2 0.001 mse", "1 0.001 mse", "2 0.001 mse"]);
    assert_eq!(of("tiny"), ["2 0.001 l1", "2 0.001 nll", "2 0.001 l1", "2 0.001 nll"]);
    // Every number of the sweeps' own summaries is included.
    for sweep in ["tiny", "other"] {
        let mut summary = read(&format!("results/{sweep}/summary.csv"));
        let header = summary.headers().unwrap().clone();
        let mut all = read("summary.csv");
        let names = all.headers().unwrap().clone();
        let all: Vec<csv::StringRecord> = all.records().map(Result::unwrap).collect();
        for row in summary.records().map(Result::unwrap) {
            let ours = all.iter().find(|ours| ours[1] == row[0]).unwrap();
            for (name, value) in header.iter().zip(&row).filter(|(name, _)| !name.starts_with("overfit")) {
                let column = names.iter().position(|ours| ours == name).unwrap();
                assert_eq!(&ours[column], value, "{sweep} {name}");
            }
        }
    }
    for format in ["csv", "parquet", "json"] {
        for table in ["trials", "summary", "epochs", "landmarks"] {
            let file = format!("{table}.{format}");
            sandbox
                .expect(0, &["export", format, "results/tiny", "results/other", "--table", table, "--output", &file]);
        }
    }
    let wrong = sandbox.expect(2, &["export", "csv", "cache"]);
    assert!(wrong.contains("neither the folder of a sweep nor one that holds sweeps"), "{wrong}");
    let Some(interpreter) = python("pandas, pyarrow, polars") else { return };
    look(&interpreter, &sandbox, &["table", "."]);
    let Some(python) = python("pandas, pyarrow, polars, matplotlib, duckdb") else { return };
    fs::copy(sandbox.path("summary.parquet"), sandbox.path("trials.parquet")).unwrap();
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/guide/data-out.md");
    assert!(look(&python, &sandbox, &["recipes", guide.to_str().unwrap(), "."]).contains("3 recipes run"));
}
