//! A Rust client (rust_socketio): joins a room at every connect, with `since`, and says what it is given line by line.
//! Tells on standard output what it saw: joined RECOVERED, received ID TEXT, sent ID.

use rust_socketio::{ClientBuilder, Event, Payload, RawClient};
use serde_json::{json, Value};
use std::io::BufRead;
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Default)]
struct Room {
    last_id: Option<String>, // the position of the last message that is shown
    replay: Vec<Value>,      // while a join is not answered: what it has brought so far
    is_joining: bool,
}

impl Room {
    fn show(&mut self, message: &Value) {
        let id = message["id"].as_str().unwrap_or_default();
        println!("received {} {}", id, message["message"].as_str().unwrap_or_default());
        self.last_id = Some(id.to_owned());
    }
}

/// The first argument of an event; of an acknowledgement, too, which this client wraps once more.
fn first(payload: &Payload) -> Value {
    let mut found = match payload {
        Payload::Text(values) => values.first().cloned().unwrap_or_default(),
        _ => Value::Null,
    };
    while let Value::Array(inside) = &found {
        found = inside.first().cloned().unwrap_or_default();
    }
    found
}

fn join(socket: &RawClient, room: &Arc<Mutex<Room>>, name: &str, username: &str) {
    let mut request = json!({"room": name, "username": username});
    {
        let mut held = room.lock().unwrap();
        held.replay.clear();
        held.is_joining = true;
        if let Some(id) = &held.last_id {
            request["since"] = json!(id);
        }
    }
    let shared = room.clone();
    let answered = move |payload: Payload, _: RawClient| {
        let (answer, mut held) = (first(&payload), shared.lock().unwrap());
        println!("joined {}", answer["recovered"]);
        let replay = std::mem::take(&mut held.replay);
        if replay.is_empty() {
            held.last_id = answer["id"].as_str().map(str::to_owned);
        }
        for message in &replay {
            held.show(message);
        }
        held.is_joining = false;
    };
    let _ = socket.emit_with_ack("join", request, Duration::from_secs(10), answered);
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let (name, username) = (words[2].clone(), words[3].clone());
    let room = Arc::new(Mutex::new(Room::default()));
    let (joining, receiving, named) = (room.clone(), room.clone(), name.clone());
    let client = ClientBuilder::new(words[1].clone())
        .reconnect_on_disconnect(true)
        .reconnect_delay(100, 500)
        .on(Event::Connect, move |_, socket| join(&socket, &joining, &named, &username))
        .on("receive", move |payload, _| {
            let (message, mut held) = (first(&payload), receiving.lock().unwrap());
            if message["id"].is_null() {
                return; // a notice
            }
            if held.is_joining {
                held.replay.push(message);
            } else {
                held.show(&message);
            }
        })
        .connect()
        .expect("the gateway answers");
    for (number, line) in std::io::stdin().lock().lines().map_while(Result::ok).enumerate() {
        let key = format!("{}-{}", std::process::id(), number);
        let said = json!({"room": name, "message": line, "idempotency_key": key});
        let answered = |payload: Payload, _: RawClient| println!("sent {}", first(&payload)["id"].as_str().unwrap_or("-"));
        let _ = client.emit_with_ack("send", said, Duration::from_secs(10), answered);
    }
    let _ = client.disconnect();
}
