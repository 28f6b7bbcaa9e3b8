//! What a Grafana is told, against a receiver that takes what a Grafana would.

use std::sync::{Arc, Mutex};

use holdfast_loadtest::report::annotate::{AnnotateError, Grafana};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::sample::Sample;

#[derive(Clone, Debug)]
struct Seen {
    path: String,
    authorization: Option<String>,
    body: Value,
}

/// Answers every request with `status`. Returns its address, and what it sees.
async fn receiver(status: StatusCode) -> (String, Arc<Mutex<Vec<Seen>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sink = Arc::clone(&sink);
            let answer = service_fn(move |request: Request<Incoming>| {
                let sink = Arc::clone(&sink);
                async move {
                    let path = request.uri().path().to_owned();
                    let authorization = request.headers().get("authorization");
                    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
                    let body = request.into_body().collect().await?.to_bytes();
                    let body = serde_json::from_slice(&body).unwrap();
                    sink.lock().unwrap().push(Seen { path, authorization, body });
                    let mut response = Response::new(Full::new(Bytes::from_static(b"{\"message\":\"said\"}")));
                    *response.status_mut() = status;
                    Ok::<_, hyper::Error>(response)
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
        }
    });
    (address, seen)
}

#[tokio::test]
async fn the_run_its_scenarios_and_its_faults_are_told() {
    let (address, seen) = receiver(StatusCode::OK).await;
    let sample = Sample::held();
    let grafana = Grafana::new(&format!("http://{address}/grafana/"), Some("secret-token")).unwrap();
    assert!(!format!("{grafana:?}").contains("secret"));
    assert_eq!(grafana.annotate(&sample.run()).await.unwrap(), 1 + 3 + 2);
    let seen = seen.lock().unwrap().clone();
    for annotation in &seen {
        assert_eq!(annotation.path, "/grafana/api/annotations");
        assert_eq!(annotation.authorization.as_deref(), Some("Bearer secret-token"));
        let tags = annotation.body["tags"].as_array().unwrap();
        assert_eq!((&tags[0], &tags[1]), (&"loadtest".into(), &"lt-4821".into()));
        assert!(annotation.body["time"].as_i64() <= annotation.body["timeEnd"].as_i64());
    }
    let began = sample.history.header.began_at / 1_000;
    let rush = seen.iter().find(|one| one.body["tags"].as_array().unwrap().contains(&"rush".into())).unwrap();
    assert_eq!((&rush.body["time"], &rush.body["timeEnd"]), (&(began + 1_450).into(), &(began + 5_050).into()));
    let faults: Vec<_> =
        seen.iter().filter_map(|one| one.body["text"].as_str()).filter(|text| text.starts_with("Fault")).collect();
    assert_eq!(faults, ["Fault: server killed", "Fault: database killed"]);
}

#[tokio::test]
async fn user_and_password_come_from_the_address() {
    let (address, seen) = receiver(StatusCode::OK).await;
    let grafana = Grafana::new(&format!("http://me:p%40ss@{address}"), None).unwrap();
    assert!(!format!("{grafana:?}").contains("p%40ss"));
    grafana.annotate(&Sample::empty().run()).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    // me:p@ss
    assert_eq!(seen[0].authorization.as_deref(), Some("Basic bWU6cEBzcw=="));
    assert_eq!(seen[0].path, "/api/annotations");
}

#[tokio::test]
async fn what_goes_wrong_is_said_without_secrets() {
    let (address, _) = receiver(StatusCode::FORBIDDEN).await;
    let grafana = Grafana::new(&format!("http://me:hidden@{address}"), None).unwrap();
    let error = grafana.annotate(&Sample::empty().run()).await.unwrap_err();
    assert!(matches!(error, AnnotateError::Refused { status: 403, .. }), "{error}");
    assert!(error.to_string().contains("said"), "{error}");
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let grafana = Grafana::new(&format!("http://me:hidden@{free}"), None).unwrap();
    let error = grafana.annotate(&Sample::empty().run()).await.unwrap_err();
    assert!(matches!(error, AnnotateError::Unreachable(_)) && !error.to_string().contains("hidden"), "{error}");
    for wrong in ["", "grafana:3000", "ftp://grafana/", "http://"] {
        assert!(matches!(Grafana::new(wrong, None), Err(AnnotateError::Url(_))), "{wrong}");
    }
}
