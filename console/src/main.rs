//! A web console for modq. It speaks RESP to the server like any client, and serves pages that a review team leaves open
//! all day: see docs/console.md.

mod actions;
mod app;
mod assets;
mod audit;
mod bytes;
mod config;
mod db;
mod desk;
mod details;
mod metrics;
mod pages;
mod routes;
mod sampler;
mod security;
mod sse;
mod words;

use app::App;
use clap::Parser;
use config::{Command, Flags};
use std::io::BufRead;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

fn main() -> ExitCode {
    let flags = Flags::parse();
    let ended = match flags.command {
        Some(Command::Hash) => print_hash(),
        None => serve(flags),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("modq-console: {why}");
            ExitCode::FAILURE
        }
    }
}

fn print_hash() -> Result<(), String> {
    eprintln!("Type the password and Enter:");
    let mut password = String::new();
    let read = std::io::stdin().lock().read_line(&mut password);
    read.map_err(|e| format!("cannot read: {e}"))?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    println!("{}", security::users::hash(password)?);
    Ok(())
}

fn serve(flags: Flags) -> Result<(), String> {
    let (config, target) = flags.check()?;
    // One provider of cryptography for all TLS; an error would say that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Runtime::new().map_err(|e| format!("cannot start: {e}"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind(config.listen).await;
        let listener = listener.map_err(|e| format!("cannot listen on {}: {e}", config.listen))?;
        let address = listener.local_addr().map_err(|e| e.to_string())?;
        let (stop, stopping) = watch::channel(false);
        let app = Arc::new(App::start(config, target, stopping));
        println!(
            "modq-console is on http://{address}{}/ for {}",
            app.config.base,
            app.db.target().in_words()
        );
        let service =
            routes::routes(app.clone()).into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
            asked_to_stop().await;
            // Open streams end first: the server waits for every answer.
            stop.send_replace(true);
        });
        let mut stopped = app.stopping.clone();
        tokio::select! {
            served = serving => served.map_err(|e| e.to_string())?,
            () = async {
                let _ = stopped.wait_for(|stop| *stop).await;
                tokio::time::sleep(Duration::from_secs(5)).await;
            } => {}
        }
        app.desks.send_all().await;
        Ok(())
    })
}

async fn asked_to_stop() {
    use tokio::signal::unix::{SignalKind, signal};
    let interrupt = tokio::signal::ctrl_c();
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        },
        Err(_) => {
            let _ = interrupt.await;
        }
    }
}
