//! A server of the test's own, which breaks off, tells of mails at odd moments, and sends too much.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use recado_store::sources::SourceStatus;
use recado_types::TriggerId;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{SECRET, asked, reading, texts, written};
use crate::running::System;

/// What connections are told, one after the other: for each, commands by how they begin, each with
/// its answer (`%` is the command's tag). What is not there is done.
type Script = Vec<Vec<(&'static str, Reply)>>;

#[derive(Clone, Debug)]
enum Reply {
    Says(String),
    HangsUp,
    /// Says it over and over.
    Repeats(&'static str),
}

fn says(text: &str) -> Reply {
    Reply::Says(text.to_owned())
}

fn mail_of(uid: u32, id: &str) -> String {
    let mail = written(id, "");
    format!("* {uid} FETCH (UID {uid} BODY[]<0> {{{}}}\r\n{mail})\r\n", mail.len())
}

/// A server of which every connection follows a part of a script: the next one once somebody has got
/// to the end of it, since whoever reads may be interrupted. The last one it follows for ever.
struct Scripted {
    port: u16,
    commands: Arc<Mutex<Vec<String>>>,
    _connections: JoinSet<()>,
}

impl Scripted {
    async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&commands);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut serving = JoinSet::new();
            let n_done = Arc::new(AtomicUsize::new(0));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let index = n_done.load(Ordering::SeqCst);
                let replies = script[index.min(script.len() - 1)].clone();
                let done = Arc::clone(&n_done);
                let is_over = move || done.store(index + 1, Ordering::SeqCst);
                serving.spawn(serve(stream, replies, is_over, Arc::clone(&heard)));
            }
        });
        Self { port, commands, _connections: connections }
    }

    /// A system with a trigger that is to read this server's mails, from the first one.
    async fn read(&self) -> (System, TriggerId) {
        let system = System::at("2026-11-22T09:00:00Z").await;
        system.add_secret(SECRET, "user:password").await;
        let imap = json!({
            "host": "127.0.0.1", "port": self.port, "tls": "none", "start": "beginning",
        });
        let trigger = system.trigger(reading("support@acme.example", imap)).await;
        (system, trigger)
    }

    fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }
}

async fn serve(
    stream: TcpStream,
    mut replies: Vec<(&'static str, Reply)>,
    is_over: impl Fn(),
    heard: Arc<Mutex<Vec<String>>>,
) -> Option<()> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"* OK ready\r\n").await.ok()?;
    let mut idle_tag = String::new();
    while let Some(line) = lines.next_line().await.ok()? {
        let (tag, command) = match line.split_once(' ') {
            Some((tag, command)) => (tag.to_owned(), command.to_owned()),
            None => (std::mem::take(&mut idle_tag), line),
        };
        heard.lock().unwrap().push(command.clone());
        if command == "IDLE" {
            idle_tag.clone_from(&tag);
        }
        let scripted = replies.iter().position(|(begin, _)| command.starts_with(begin));
        let reply = scripted.map_or_else(|| says(usual(&command)), |index| replies.remove(index).1);
        if scripted.is_some() && replies.is_empty() {
            is_over();
        }
        match reply {
            Reply::Says(text) => {
                writing.write_all(text.replace('%', &tag).as_bytes()).await.ok()?;
            }
            Reply::HangsUp => return None,
            Reply::Repeats(text) => loop {
                writing.write_all(text.as_bytes()).await.ok()?;
            },
        }
    }
    None
}

fn usual(command: &str) -> &'static str {
    match command.split(' ').next().unwrap_or_default() {
        "CAPABILITY" => "* CAPABILITY IMAP4rev1 IDLE\r\n% OK\r\n",
        "SELECT" => "* 1 EXISTS\r\n* OK [UIDVALIDITY 7] ok\r\n* OK [UIDNEXT 2] ok\r\n% OK done\r\n",
        "IDLE" => "+ idling\r\n",
        _ => "% OK done\r\n",
    }
}

#[tokio::test]
async fn what_a_server_leaves_out_or_tells_early_is_not_missed_and_what_is_too_much_is_not_read() {
    let found = |uid: u32| says(&format!("* SEARCH {uid}\r\n% OK done\r\n"));
    let script = vec![
        // A mail that is not sent is not one that is not there.
        vec![("UID SEARCH UID 1:1", found(1)), ("UID FETCH 1", Reply::HangsUp)],
        vec![
            ("UID SEARCH UID 1:1", found(1)),
            ("UID FETCH 1", says(&format!("{}% NO [SERVERBUG] later\r\n", mail_of(1, "cut")))),
        ],
        vec![
            ("UID SEARCH UID 1:1", found(1)),
            // It will not be told again of the second one.
            ("UID FETCH 1", says(&format!("{}* 2 EXISTS\r\n% OK done\r\n", mail_of(1, "1")))),
            ("UID SEARCH UID 2:*", found(2)),
            ("UID FETCH 2", says(&format!("{}% OK done\r\n", mail_of(2, "2")))),
            ("UID SEARCH UID 3:*", found(2)),
            // Nor of the third one.
            ("IDLE", says("* 3 EXISTS\r\n+ idling\r\n")),
            ("DONE", says("% OK done\r\n")),
            ("UID SEARCH UID 3:*", found(3)),
            ("UID FETCH 3", says("* 3 FETCH (UID 3 BODY[]<0> {500000000}\r\n")),
        ],
        vec![("CAPABILITY", Reply::Repeats("* OK and so on\r\n"))],
        vec![("CAPABILITY", Reply::Repeats("* OK and so on"))],
        vec![("CAPABILITY", says("what do you mean?\r\n"))],
        vec![("CAPABILITY", Reply::Repeats("* 1 FETCH (BODYSTRUCTURE (((((((((((((((((((("))],
        vec![
            ("UID SEARCH UID 3:*", found(3)),
            ("UID FETCH 3", says(&format!("{}% OK done\r\n", mail_of(3, "3")))),
        ],
    ];
    let server = Scripted::start(script).await;
    let (system, trigger) = server.read().await;
    let instance = system.start();
    for (code, reason) in [
        ("connection_lost", "hung up"),
        ("imap_refused", "later"),
        ("connection_lost", "announces too much"),
        ("connection_lost", "sends too much"),
        ("connection_lost", "line that is too long"),
        ("imap_refused", "its answer cannot be understood"),
        ("connection_lost", "nests too deeply"),
    ] {
        let says_so = |it: &SourceStatus| {
            let message = it.error_message.as_deref().unwrap_or_default();
            it.error_code.as_deref() == Some(code) && message.contains(reason)
        };
        system.wait_for_source(trigger, reason, says_so).await;
        system.clock.advance(chrono::TimeDelta::minutes(6));
    }
    let messages = system.wait_for(trigger, 3).await;
    instance.stop().await;
    assert_eq!(texts(&messages), asked(&["1", "2", "3"]));
    assert_eq!(system.n_published(), 3);
    let commands = server.commands();
    let idle = commands.iter().position(|command| command == "IDLE").unwrap();
    assert_eq!(commands[idle + 1], "DONE");
}

#[tokio::test]
async fn a_mail_that_is_never_sent_is_left_out_in_the_end() {
    let found = |uid: u32| says(&format!("* SEARCH {uid}\r\n% OK done\r\n"));
    let script = vec![vec![
        ("UID SEARCH UID 1:1", found(1)),
        ("UID FETCH 1", Reply::HangsUp),
        ("UID SEARCH UID 2:*", found(2)),
        ("UID FETCH 2", says(&format!("{}% OK done\r\n", mail_of(2, "2")))),
    ]];
    let server = Scripted::start(script).await;
    let (system, trigger) = server.read().await;
    let instance = system.start();
    let mut since = None;
    for n in 1..=5 {
        let has_failed = |it: &SourceStatus| {
            let position = it.position.as_ref();
            !it.is_held && position.is_some_and(|it| it["failing"]["count"] == n)
        };
        let status = system.wait_for_source(trigger, "one more failure", has_failed).await;
        assert_eq!(status.error_code.as_deref(), Some("connection_lost"));
        assert_eq!(status.failure_count, n, "it has not worked in between");
        assert_eq!(*since.get_or_insert(status.failing_since), status.failing_since);
        system.clock.advance(chrono::TimeDelta::minutes(6));
    }
    let messages = system.wait_for(trigger, 1).await;
    assert_eq!(texts(&messages), asked(&["2"]));
    let is_over = |it: &SourceStatus| it.position.as_ref().is_some_and(|it| it["last_uid"] == 2);
    let status = system.wait_for_source(trigger, "the next mail", is_over).await;
    instance.stop().await;
    assert_eq!((status.error_code, status.left_out_count), (None, 1));
    assert!(status.left_out_reason.unwrap().contains("UID 1"));
    assert!(status.position.unwrap().get("failing").is_none());
}
