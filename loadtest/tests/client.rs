//! The rig's HTTP client: what it sends, and that a burst is one.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as the tests do")]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use holdfast_loadtest::rig::client::{Client, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Barrier;

/// Says what it was sent, once `together` requests are there.
async fn mirror(together: usize) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    let barrier = Arc::new(Barrier::new(together));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::Relaxed);
            let barrier = Arc::clone(&barrier);
            tokio::spawn(async move {
                let service = service_fn(|request: hyper::Request<Incoming>| {
                    let barrier = Arc::clone(&barrier);
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                        barrier.wait().await;
                        let key = head.headers.get("idempotency-key").and_then(|key| key.to_str().ok());
                        let host = head.headers.get("host").and_then(|host| host.to_str().ok());
                        let seen = json!({
                            "method": head.method.as_str(),
                            "path": head.uri.path_and_query().map(ToString::to_string),
                            "version": format!("{:?}", head.version),
                            "has_host": host.or(head.uri.authority().map(hyper::http::uri::Authority::as_str)).is_some(),
                            "key": key,
                            "body": String::from_utf8_lossy(&body),
                            "code": "seen",
                        });
                        Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(seen.to_string()))))
                    }
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (url, connections)
}

#[tokio::test]
async fn requests_arrive_as_they_were_written() {
    let (url, _) = mirror(1).await;
    for (client, version) in [(Client::new(&url), "HTTP/1.1"), (Client::http2(&url), "HTTP/2.0")] {
        let answer = client.post("/api/holds?x=1", &json!({"qty": 5})).await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (200, "seen"));
        let seen = answer.json();
        assert_eq!(seen["method"], "POST");
        assert_eq!(seen["path"], "/api/holds?x=1");
        assert_eq!(seen["version"], version);
        assert_eq!(seen["body"], r#"{"qty":5}"#);
        assert_eq!(seen["has_host"], true);
        let answer = client.send(&Request::delete("/api/holds/1").key("k")).await.unwrap();
        assert_eq!((answer.json()["method"].as_str(), answer.json()["key"].as_str()), (Some("DELETE"), Some("k")));
        assert_eq!(client.get("/").await.unwrap().json()["method"], "GET");
    }
}

#[tokio::test]
async fn a_burst_is_all_at_once_and_in_order() {
    const REQUESTS: usize = 50;
    // The mirror answers only when all are there, so a client that sent one after the other would hang.
    let (url, connections) = mirror(REQUESTS).await;
    let requests = (0..REQUESTS).map(|n| Request::post(&format!("/{n}"), &json!(n))).collect();
    let answers = Client::new(&url).burst(requests).await;
    for (n, answer) in answers.into_iter().enumerate() {
        let seen = answer.unwrap().json();
        assert_eq!(seen["path"], format!("/{n}"));
        assert_eq!(seen["body"], n.to_string());
        assert_eq!(seen["has_host"], true);
    }
    assert_eq!(connections.load(Ordering::Relaxed), REQUESTS);
}

#[tokio::test]
async fn no_answer_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(&url);
    let error = client.get("/path").await.unwrap_err();
    assert!(error.to_string().contains("/path"), "{error}");
    assert!(client.burst(vec![Request::get("/")]).await.remove(0).is_err());
}
