//! A client that goose drives: its requests go through goose, so that goose's own figures and report
//! have them.

use std::time::Duration;

use goose::goose::{GooseRequest, GooseUser};
use reqwest::{Client, ClientBuilder};

use super::answer;
use super::caller::{Call, Notes, Shop, replayed, unknown};
use crate::history::{Operation, Outcome, Recorder, Why};

/// What goose's users send with: no redirects, no retries, no proxies but the scenario's own.
pub fn shopper_client(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .http1_only()
        .tcp_nodelay(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .gzip(false)
        .timeout(timeout)
}

/// What a goose user keeps from one transaction to the next.
#[derive(Debug)]
pub struct Shopper {
    shop: Shop,
    notes: Notes,
}

impl Shop {
    /// A new client for a goose user.
    pub fn shopper(&self) -> Shopper {
        Shopper { shop: self.clone(), notes: self.notes() }
    }
}

impl Shopper {
    /// The client, while goose lets `user` act.
    pub fn with<'a>(&'a mut self, user: &'a mut GooseUser) -> Shopping<'a> {
        Shopping { shopper: self, user }
    }
}

/// A client in a goose transaction.
pub struct Shopping<'a> {
    shopper: &'a mut Shopper,
    user: &'a mut GooseUser,
}

impl Call for Shopping<'_> {
    /// Sends nothing, and takes nothing down, when the scenario is to end.
    async fn call(&mut self, operation: Operation) -> Outcome {
        if self.is_over() {
            return unknown(Why::NotSent);
        }
        let request = self.shopper.shop.requests.build(&operation);
        let under_way = self.shopper.notes.begin(operation);
        let Ok(request) = reqwest::Request::try_from(request) else { return under_way.end(unknown(Why::NotSent)) };
        let builder = reqwest::RequestBuilder::from_parts(self.user.client.clone(), request);
        let request = GooseRequest::builder().name(operation.endpoint()).set_request_builder(builder).build();
        // Goose may give up before it has sent, or after: it does not say.
        let Ok(mut answered) = self.user.request(request).await else { return under_way.end(unknown(Why::Lost)) };
        let outcome = match answered.response {
            Err(error) => unknown(why(&error)),
            Ok(response) => {
                let (status, replayed) = (response.status().as_u16(), replayed(response.headers()));
                match response.bytes().await {
                    Ok(body) => answer::read(&operation, status, replayed, &body),
                    Err(error) => unknown(why(&error)),
                }
            }
        };
        let outcome = under_way.end(outcome);
        if !outcome.is_error() {
            // To goose, whatever is not 2xx failed; a documented refusal is an answer like any other.
            let _ = self.user.set_success(&mut answered.request);
        }
        outcome
    }

    fn recorder(&self) -> &Recorder {
        &self.shopper.shop.recorder
    }

    fn is_over(&self) -> bool {
        self.shopper.shop.pulse().is_over()
    }
}

fn why(error: &reqwest::Error) -> Why {
    if error.is_connect() {
        Why::NotSent
    } else if error.is_timeout() {
        Why::TimedOut
    } else {
        Why::Cut
    }
}
