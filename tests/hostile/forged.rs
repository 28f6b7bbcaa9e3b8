//! A thousand signatures that are forged, replayed, expired or cut off: none gets in, nothing changes.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_test_support::{HOUSEKEEPING, OrFail, Request, Setup, for_both, payment, seed};
use sha2::Sha256;

for_both!(no_forged_event_gets_in);

const SECRET: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";

/// More than the server's tolerance of five minutes.
const STALE_SECONDS: i64 = 310;

/// An event as the provider would sign it, so many seconds from now.
pub(crate) fn signed(secret: &str, event: &Request, seconds_from_now: i64) -> Request {
    Event::new(event, seconds_from_now).sign(secret).request()
}

#[derive(Clone)]
struct Event {
    id: String,
    timestamp: String,
    signature: String,
    body: Vec<u8>,
}

impl Event {
    fn new(event: &Request, seconds_from_now: i64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let timestamp = now.saturating_add_signed(seconds_from_now).to_string();
        Self { id: "msg_1".to_owned(), timestamp, signature: String::new(), body: event.content().to_vec() }
    }

    fn sign(mut self, secret: &str) -> Self {
        let key = STANDARD.decode(secret.trim_start_matches("whsec_")).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(format!("{}.{}.", self.id, self.timestamp).as_bytes());
        mac.update(&self.body);
        self.signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self
    }

    fn request(&self) -> Request {
        Request::new(hyper::Method::POST, "/api/payments/webhook")
            .header("content-type", "application/json")
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", &self.timestamp)
            .header("webhook-signature", &self.signature)
            .body(self.body.clone())
    }
}

fn visible(random: &mut fastrand::Rng, length: usize) -> String {
    (0..length).map(|_| char::from(random.u8(b'!'..=b'~'))).collect()
}

/// Something that is not what the provider signed, made of something that it did.
fn forge(random: &mut fastrand::Rng, order_id: u64, taken: &Event) -> (&'static str, Event) {
    let event = payment(&format!("evt_{}", random.u32(..)), order_id, "success");
    let mut forged = Event::new(&event, random.i64(-200..=200)).sign(SECRET);
    let what = match random.u8(0..9) {
        0 => {
            let other = format!("whsec_{}", STANDARD.encode(std::array::from_fn::<u8, 32, _>(|_| random.u8(..))));
            forged = forged.sign(&other);
            "signed with another secret"
        }
        1 => {
            let seconds = random.i64(STALE_SECONDS..1_000_000);
            forged = Event::new(&event, if random.bool() { seconds } else { -seconds }).sign(SECRET);
            "signed too long ago, or too early"
        }
        2 => {
            forged.signature.truncate(random.usize(..forged.signature.len()));
            "cut off"
        }
        3 => {
            let place = random.usize(..forged.body.len());
            forged.body[place] ^= random.u8(1..128);
            "another body"
        }
        4 => {
            forged.body.truncate(random.usize(..forged.body.len()));
            "a body cut off"
        }
        5 => {
            forged.signature.clone_from(&taken.signature);
            "the signature of an event that was taken"
        }
        6 => {
            forged.id = visible(random, 10);
            "another id"
        }
        7 => {
            forged.timestamp = (forged.timestamp.parse::<u64>().unwrap_or_default() + 1).to_string();
            "another time"
        }
        _ => {
            let length = random.usize(1..100);
            forged.signature = format!("v1,{}", visible(random, length));
            "made up"
        }
    };
    (what, forged)
}

async fn no_forged_event_gets_in(setup: Setup) {
    let mut random = seed();
    let sale = setup.setting("WEBHOOK_SECRET", SECRET).start().await;
    let product = sale.product(10).await;
    let paid = sale.order(sale.hold(product, 1).await).await;
    let unpaid = sale.order(sale.hold(product, 2).await).await;
    let taken = Event::new(&payment("evt_paid", paid, "success"), 0).sign(SECRET);
    assert_eq!(sale.send(&taken.request()).await.status, 200);
    let before = sale.database.snapshot(&[]).await.or_fail();
    for round in 0..1000 {
        let (what, forged) = forge(&mut random, unpaid, &taken);
        let answer = sale.send(&forged.request()).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{round}: {what}");
    }
    assert_eq!(sale.database.snapshot(&[]).await.or_fail(), before);
    // What was taken before may be sent again, which is no news.
    let before = sale.database.snapshot(&HOUSEKEEPING).await.or_fail();
    for _ in 0..10 {
        assert_eq!(sale.send(&taken.request()).await.status, 200);
    }
    assert_eq!(sale.database.snapshot(&HOUSEKEEPING).await.or_fail(), before);
    assert_eq!(sale.order_shown(unpaid).await["status"], "pending_payment");
    sale.assert_audit_passes().await;
}
