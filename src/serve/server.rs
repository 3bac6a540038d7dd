//! Binds, accepts connections up to a limit, and stops gracefully.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

use sweep_core::error::{Error, Kind, Result};
use sweep_experiment::provenance;

use crate::guard::Guard;
use crate::records::Library;
use crate::{Listening, Options, pages};

/// Most connections at once; further ones wait.
const CONNECTIONS: usize = 512;
/// Longest time that a browser may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);
/// Longest wait for answers on their way when the server stops.
const STOPPING: Duration = Duration::from_secs(1);
/// Threads that answer requests; the reading has its own.
const THREADS: usize = 2;

/// Shows a folder until Ctrl-C or SIGTERM. Says where by `listening` as soon as connections are accepted.
///
/// # Errors
/// When the folder cannot be read, or the address cannot be used.
pub fn serve(options: &Options, listening: Listening<'_>) -> Result<()> {
    let library = Library::open(&options.folder)?;
    let failed = |e: std::io::Error| Error::new(Kind::Computation, format!("cannot start the server: {e}"));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build().map_err(failed)?;
    let served = runtime.block_on(async {
        let address = SocketAddr::new(options.host, options.port);
        let listener = TcpListener::bind(address).await.map_err(|e| unusable(&e, address))?;
        let bound = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(options.host, &provenance::host(), options.token.as_deref());
        let router = pages::router(&library, guard, options.control);
        let token = options.token.as_ref().map_or_else(String::new, |token| format!("?token={token}"));
        listening(&format!("http://{bound}/{token}"))?;
        accept(&listener, router).await.map_err(failed)
    });
    // What is still on its way must not keep the program alive.
    runtime.shutdown_timeout(STOPPING);
    served
}

fn unusable(e: &std::io::Error, address: SocketAddr) -> Error {
    Error::input(format!("cannot listen at {address}: {e}"))
        .remedy("choose another port with --port, 0 for a free one, or another address with --host")
}

/// Answers until a signal asks to stop.
async fn accept(listener: &TcpListener, router: axum::Router) -> std::io::Result<()> {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut http = Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 << 10);
    loop {
        let next = async {
            // Closed only with the program.
            let permit = Arc::clone(&free).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            next = next => next,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
        };
        let Ok((stream, _)) = stream else {
            // Too many open files, most likely: let some be closed.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        let watched = graceful.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // A browser that goes away is no error of ours.
            let _ = watched.await;
            drop(permit);
        });
    }
    let _ = tokio::time::timeout(STOPPING, graceful.shutdown()).await;
    Ok(())
}
