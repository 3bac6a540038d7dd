//! `sweep serve`, as a browser and as other programs see it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::browser::Browser;
use crate::harness::{SWEEP, Sandbox, trial_folders, wait_for};

const DEFINITION: &str = r#"
name = "tiny"
question = "Does <img src=x onerror=alert(1)> find & keep?"
seeds = [0, 1]
[axes]
zip = [
    { label = "<script>alert(2)</script>", loss = { name = "l1" } },
    { label = "smooth'\"><b>", loss = { name = "smooth-l1" } },
]
[trial]
epochs = 3
batch_size = 2
dataset = { name = "phantom", train = 4, val = 3, height = 60, width = 48 }
input = { height = 40, width = 32 }
model = { name = "unet", filters = [4, 8] }
"#;

/// A running server, which is stopped at the end.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut command = sandbox.command(SWEEP);
        command.args(["serve", "results", "--port", "0"]).args(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        assert!(address.starts_with("http://127.0.0.1:"), "{address}");
        Self { child, address: address.trim().trim_end_matches('/').to_owned() }
    }

    fn host(&self) -> &str {
        self.address.trim_start_matches("http://").split('/').next().unwrap()
    }

    /// The answer to a request, read to its end unless it is a stream.
    fn ask(&self, path: &str, host: &str) -> String {
        let mut stream = TcpStream::connect(self.host()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks it to stop; returns its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that was stopped needs no end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn trained() -> Sandbox {
    let sandbox = Sandbox::new(DEFINITION);
    sandbox.expect(0, &["run", "tiny.toml", "--jobs", "1", "--threads", "1", "--quiet"]);
    sandbox
}

/// Appends an epoch to a trial's records, as a training does.
fn append_epoch(trial: &Path) {
    let path = trial.join("epochs.csv");
    let text = fs::read_to_string(&path).unwrap();
    let mut cells: Vec<&str> = text.lines().last().unwrap().split(',').collect();
    let next = (cells[2].parse::<u32>().unwrap() + 1).to_string();
    cells[2] = &next;
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(format!("{}\n", cells.join(",")).as_bytes())
        .unwrap();
}

#[test]
fn a_browser_sees_sweeps_live_and_nothing_from_elsewhere() {
    let Some(program) = sweep_testing::chromium() else { return };
    let sandbox = Sandbox::new(DEFINITION);
    fs::create_dir(sandbox.path("results")).unwrap();
    let server = Server::start(&sandbox, &[]);
    sandbox.write("other.toml", &DEFINITION.replace("\"tiny\"", "\"other\"").replace("epochs = 3", "epochs = 2"));
    let mut browser = Browser::start(&program, &sandbox.path("profile"));
    browser.open(&server.address);
    assert!(browser.value("document.body.innerText").as_str().unwrap().contains("no sweep in this folder yet"));

    // The sweep appears by itself.
    sandbox.expect(0, &["run", "tiny.toml", "--jobs", "1", "--threads", "1", "--quiet"]);
    browser.wait("document.querySelector('a[href=\"/sweeps/tiny\"]')");
    browser.wait("document.body.innerText.includes('4 done')");
    sandbox.expect(0, &["run", "other.toml", "--jobs", "1", "--threads", "1", "--quiet"]);
    let page = format!("{}/sweeps/tiny", server.address);
    browser.open(&page);
    browser.wait("document.querySelectorAll('#table tbody tr').length === 4");
    browser.wait("document.querySelector('.answer .first')");
    browser.wait("document.querySelector('figure .uplot canvas')");

    // Its curve moves when records are appended.
    let last = "fetch(document.querySelector('figure[data-curves]').dataset.curves).then((a) => a.json()).then((c) => c.x.at(-1))";
    assert_eq!(browser.value(last), json!(3));
    let drawn = "document.querySelector('figure .uplot canvas').toDataURL()";
    let before = browser.value(drawn);
    append_epoch(&trial_folders(&sandbox.path("results/tiny"))[0]);
    browser.wait("document.querySelector('#table').innerText.includes('4 / 3')");
    wait_for("the curve", || (browser.value(drawn) != before).then_some(()));
    assert_eq!(browser.value(last), json!(4));

    // Sorting by a click, filtering by typing; the address says both, and shows the same to others.
    browser.click("#table a[href*='sort=seed']");
    browser.wait("document.querySelector('th[aria-sort=ascending]')?.innerText.startsWith('seed')");
    browser.value("document.querySelector('input[name=q]').focus()");
    browser.type_text("seed=1");
    browser.wait("document.querySelectorAll('#table tbody tr').length === 2");
    browser.wait("location.search.includes('q=seed%3D1') && location.search.includes('sort=seed')");
    let address = browser.value("location.href");
    browser.open(address.as_str().unwrap());
    assert_eq!(browser.value("document.querySelectorAll('#table tbody tr').length"), json!(2));

    // A trial, and its landmarks by keys.
    browser.click("#row-1");
    browser.wait("location.pathname.includes('/trials/') && document.querySelectorAll('figure .uplot').length >= 2");
    browser.click("a[href$='/landmarks']");
    browser.wait("document.querySelectorAll('#overlay .mark').length > 5 && document.querySelector('#overlay image')");
    browser.press("ArrowRight");
    browser.wait("location.search.includes('image=') && document.body.innerText.includes('image 2 of 3')");
    browser.press("+");
    browser.wait("document.querySelector('#overlay').getAttribute('viewBox') !== document.querySelector('#overlay').dataset.view");

    // Any chart as SVG, PNG and CSV.
    browser.open(&page);
    browser.wait("document.querySelector('figure .uplot canvas')");
    let fetched = |of: &str| {
        format!(
            "fetch(document.querySelector('figure a[data-as={of}]').href).then(async (a) => [a.status, a.headers.get('content-type'), (await a.text()).slice(0, 4000)])"
        )
    };
    let svg = browser.value(&fetched("svg"));
    assert!(svg[0] == 200 && svg[1].as_str().unwrap().starts_with("image/svg+xml"), "{svg}");
    assert!(svg[2].as_str().unwrap().contains("<polyline"), "{svg}");
    let csv = browser.value(&fetched("csv"));
    assert!(csv[0] == 200 && csv[1].as_str().unwrap().starts_with("text/csv"), "{csv}");
    assert!(csv[2].as_str().unwrap().lines().count() > 4, "{csv}");
    let saved = sandbox.path("saved");
    fs::create_dir(&saved).unwrap();
    browser.call("Page.setDownloadBehavior", &json!({ "behavior": "allow", "downloadPath": saved }));
    browser.click("figure button[data-png]");
    let png = wait_for("the PNG", || {
        // The file has its name before it is whole.
        let mut files = fs::read_dir(&saved).unwrap().map(|file| file.unwrap().path());
        files.find(|file| file.extension().is_some_and(|kind| kind == "png")).and_then(|file| image::open(file).ok())
    });
    assert!(png.width() > 300);

    // Two sweeps against each other.
    browser.open(&format!("{}/compare", server.address));
    for (side, name) in [("a", "tiny"), ("b", "other")] {
        browser.value(&format!("document.querySelector('input[name={side}]').focus()"));
        browser.type_text(name);
    }
    browser.click("form button");
    browser.wait("location.search.includes('a=tiny') && document.querySelector('section.answer .first')");
    let said = browser.value("document.querySelector('main').innerText");
    assert!(said.as_str().unwrap().contains("Configurations that both have"), "{said}");
    assert_eq!(browser.value("document.querySelectorAll('main table tbody tr').length"), json!(2));

    assert_eq!(browser.console, Vec::<String>::new());
    let foreign: Vec<&String> = browser
        .requests
        .iter()
        .filter(|at| {
            // What the page itself made, it may also save.
            let own = at.strip_prefix("blob:").unwrap_or(at);
            !own.starts_with(&server.address) && !at.starts_with("data:") && *at != "about:blank"
        })
        .collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    // An error on the console is heard.
    browser.value("setTimeout(() => absent(), 0)");
    browser.wait("true");
    wait_for("the console", || {
        browser.wait("true");
        (!browser.console.is_empty()).then_some(())
    });
    drop(browser);
    assert_eq!(server.stop(), Some(0));
}

/// Set `LANDMARK_SWEEP_PICTURES` to a folder to look at the pages.
#[test]
fn pages_are_readable_without_scripts_on_small_screens_and_in_the_dark() {
    let Some(program) = sweep_testing::chromium() else { return };
    let sandbox = trained();
    let server = Server::start(&sandbox, &[]);
    let mut browser = Browser::start(&program, &sandbox.path("profile"));
    let trials = trial_folders(&sandbox.path("results/tiny"));
    let [first, second] = [0, 1].map(|at| trials[at].file_name().unwrap().to_string_lossy().into_owned());
    let pages = [
        ("sweeps", "/".to_owned()),
        ("sweep", "/sweeps/tiny".to_owned()),
        ("grouped", "/sweeps/tiny?group=configuration".to_owned()),
        ("trial", format!("/sweeps/tiny/trials/{first}?with={second}")),
        ("landmarks", format!("/sweeps/tiny/trials/{first}/landmarks")),
        ("compare", format!("/compare?a=tiny/{first}&b=tiny/{second}")),
        ("definition", "/sweeps/tiny/definition".to_owned()),
    ];
    let (axe, mut barriers) = (sweep_testing::axe_core(), Vec::new());
    let pictures = std::env::var_os("LANDMARK_SWEEP_PICTURES").map(std::path::PathBuf::from);
    browser.open(&format!("{}/sweeps/tiny", server.address));
    browser.wait("document.querySelector('.answer .first')");
    for scripts in [true, false] {
        browser.scripts(scripts);
        for (name, path) in &pages {
            browser.open(&format!("{}{path}", server.address));
            for (width, dark) in [(1280, false), (390, true), (390, false), (1280, true)] {
                browser.looks(width, 900, dark);
                std::thread::sleep(Duration::from_millis(200));
                let wide = browser.value("document.documentElement.scrollWidth");
                assert!(wide.as_u64().unwrap() <= u64::from(width), "{name} is {wide} wide at {width}");
                if let Some(axe) = axe.as_deref().filter(|_| scripts) {
                    let found = browser.barriers(axe).into_iter();
                    barriers.extend(found.map(|rule| format!("{name}, {width} wide, dark: {dark}: {rule}")));
                }
                if let Some(folder) = &pictures {
                    let scheme = if dark { "dark" } else { "light" };
                    let file =
                        folder.join(format!("{name}-{width}-{scheme}-{}.png", if scripts { "on" } else { "off" }));
                    fs::write(file, browser.picture()).unwrap();
                }
            }
            // Every control has a name, every table heads, and every page one title.
            let unnamed = "[...document.querySelectorAll('input:not([type=hidden]), select')].filter((e) => !e.closest('label')).length";
            assert_eq!(browser.value(unnamed), json!(0), "{name}");
            assert_eq!(browser.value("document.querySelectorAll('h1').length"), json!(1), "{name}");
            assert_eq!(
                browser.value(
                    "[...document.querySelectorAll('table')].filter((t) => !t.querySelector('th[scope=col]')).length"
                ),
                json!(0),
                "{name}"
            );
        }
        if !scripts {
            browser.open(&format!("{}/sweeps/tiny", server.address));
            assert_eq!(browser.value("document.querySelectorAll('#table tbody tr').length"), json!(4));
            assert_eq!(browser.value("document.querySelectorAll('figure .plot polyline').length >= 4"), json!(true));
            assert_eq!(browser.value("document.querySelector('.uplot') === null"), json!(true), "scripts are off");
        }
    }
    assert_eq!(barriers, Vec::<String>::new(), "axe-core");
    assert_eq!(browser.console, Vec::<String>::new());
}

#[test]
fn a_hundred_clients_are_answered_and_foreign_hosts_are_not() {
    let sandbox = trained();
    let server = Server::start(&sandbox, &[]);
    let streams: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = TcpStream::connect(server.host()).unwrap();
            write!(stream, "GET /events?sweep=tiny HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
            stream
        })
        .collect();
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let answer = server.ask("/sweeps/tiny", "localhost");
                assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("</html>"));
            });
        }
    });
    assert!(server.ask("/", "evil.example").starts_with("HTTP/1.1 421"));
    append_epoch(&trial_folders(&sandbox.path("results/tiny"))[0]);
    for mut stream in streams {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&heard).contains("event: change") {
            let read = stream.read(&mut buffer).unwrap();
            assert!(read > 0, "the stream ended");
            heard.extend_from_slice(&buffer[..read]);
        }
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn an_open_address_demands_a_token() {
    let sandbox = Sandbox::new(DEFINITION);
    fs::create_dir(sandbox.path("results")).unwrap();
    sandbox.write("token", "short\n");
    let said = sandbox.expect(2, &["serve", "results", "--port", "0", "--token-file", "token"]);
    assert!(said.contains("16 or more"), "{said}");
    sandbox.write("token", "0123456789abcdef\n");
    let server = Server::start(&sandbox, &["--token-file", "token"]);
    assert!(server.address.ends_with("?token=0123456789abcdef"), "{}", server.address);
    assert!(server.ask("/", "localhost").starts_with("HTTP/1.1 401"));
    assert!(server.ask("/?token=0123456789abcdef", "localhost").starts_with("HTTP/1.1 303"));
    let mut open = Command::new(SWEEP);
    open.current_dir(sandbox.path("")).args(["serve", "results", "--port", "0", "--host", "0.0.0.0"]);
    let mut open = open.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut address = String::new();
    BufReader::new(open.stdout.take().unwrap()).read_line(&mut address).unwrap();
    open.kill().unwrap();
    open.wait().unwrap();
    assert_eq!(address.trim().split("?token=").nth(1).unwrap().len(), 32, "{address}");
    sandbox.expect(2, &["serve", "nowhere"]);
}
