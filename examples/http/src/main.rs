//! An ordinary web server: axum on tokio. It runs as a process and as an image alike.
//!
//! `cargo run -p hello-http`, or `cargo husk run -p hello-http` with a port published; then `curl localhost:8080/hello/world`.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::error::Error;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Deserialize)]
struct Numbers {
    numbers: Vec<f64>,
}

#[derive(Serialize)]
struct Sum {
    sum: f64,
}

async fn sum(Json(Numbers { numbers }): Json<Numbers>) -> Json<Sum> {
    Json(Sum { sum: numbers.iter().sum() })
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let routes = Router::new()
        .route("/", get(|| async { "Hello from an ordinary web server\n" }))
        .route("/hello/{name}", get(|Path(name): Path<String>| async move { format!("Hello, {name}\n") }))
        .route("/sum", post(sum));
    let port = std::env::var("PORT").unwrap_or_else(|_| "8080".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}")).await?;
    println!("listening on {}", listener.local_addr()?);
    let mut stop = signal(SignalKind::terminate())?;
    let stopped = async move {
        stop.recv().await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(stopped).await?;
    println!("stopped");
    Ok(())
}
