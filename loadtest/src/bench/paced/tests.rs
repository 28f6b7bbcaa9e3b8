//! Against a small server of the test's own.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::thread;

use super::*;

const ANSWER: &str = "HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}";

/// A server that answers so many connections, each on a thread of its own: what `answer` says to the request with that
/// number, from 0 up, of its connection.
fn server(connections: u32, answer: impl Fn(u64) -> String + Copy + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for _ in 0..connections {
            let (stream, _) = listener.accept().expect("a connection");
            thread::spawn(move || serve(&stream, answer));
        }
    });
    address
}

fn serve(mut stream: &std::net::TcpStream, answer: impl Fn(u64) -> String) {
    let mut lines = BufReader::new(stream.try_clone().expect("the same connection")).lines();
    let mut number = 0;
    // The head ends with an empty line; the body has no line's end, so it goes with the next request's first line.
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            if stream.write_all(answer(number).as_bytes()).is_err() {
                return;
            }
            number += 1;
        }
    }
}

fn arguments(address: String, connections: u32, rate: f64) -> Arguments {
    Arguments { address, product: 1, rate, connections, seconds: 1 }
}

#[test]
fn every_request_that_is_due_is_sent_and_timed() {
    let address = server(4, |_| ANSWER.to_owned());
    let paced = run(&arguments(address, 4, 400.0)).expect("it is answered");
    assert_eq!((paced.holds, paced.failed), (400, 0));
    assert!(paced.p50 <= paced.p99 && paced.p99 <= paced.most);
}

/// Of 100 requests the 11th takes 300 ms, in which 30 more come due: their waits count.
#[test]
fn a_server_that_stalls_cannot_hide_it() {
    const STALL: Duration = Duration::from_millis(300);
    let address = server(1, |number| {
        if number == 10 {
            thread::sleep(STALL);
        }
        ANSWER.to_owned()
    });
    let paced = run(&arguments(address, 1, 100.0)).expect("it is answered");
    assert_eq!((paced.holds, paced.failed), (100, 0));
    assert!(u128::from(paced.most) >= STALL.as_micros() * 99 / 100, "{paced:?}");
    assert!(
        u128::from(paced.p99) >= STALL.as_micros() * 9 / 10,
        "the second has waited as long, but for 10 ms: {paced:?}"
    );
}

#[test]
fn what_is_no_hold_has_failed() {
    let address = server(1, |number| match number {
        3 => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
        _ => ANSWER.to_owned(),
    });
    let paced = run(&arguments(address, 1, 20.0)).expect("it is answered");
    assert_eq!((paced.holds, paced.failed), (19, 1));
    let address = server(1, |number| if number == 5 { "nonsense\r\n\r\n".to_owned() } else { ANSWER.to_owned() });
    let paced = run(&arguments(address, 1, 20.0)).expect("it is answered");
    assert_eq!((paced.holds, paced.failed), (5, 15), "nothing more is sent on a connection that makes no sense");
}

#[test]
fn an_answer_is_read_when_it_is_whole() {
    for end in 0..ANSWER.len() {
        assert_eq!(status_of(&ANSWER.as_bytes()[..end]), Answer::Partial, "{end} bytes");
    }
    assert_eq!(status_of(ANSWER.as_bytes()), Answer::Whole(201));
    for nonsense in
        ["nonsense", "HTTP/1.1 201 Created\r\n\r\n{}", "HTTP/1.1 201 Created\r\ncontent-length: two\r\n\r\n{}"]
    {
        assert_eq!(status_of(nonsense.as_bytes()), Answer::Nonsense, "{nonsense}");
    }
}
