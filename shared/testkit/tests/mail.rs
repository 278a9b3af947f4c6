//! The mail servers of tests take mails, keep them, and show them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use recado_testkit::servers::{MAIL_PASSWORD, processes_of};
use recado_testkit::smtp::{Does, SmtpStub};
use recado_testkit::{mail, wait_for};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

const SOON: Duration = Duration::from_secs(20);
const OWN: &str = "support@acme.example";

/// One who reads a mailbox by IMAP.
struct Reader {
    lines: Lines<BufReader<OwnedReadHalf>>,
    writing: OwnedWriteHalf,
}

impl Reader {
    async fn log_in(port: u16, password: &str) -> (Self, String) {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (reading, writing) = stream.into_split();
        let mut reader = Self { lines: BufReader::new(reading).lines(), writing };
        let answer = reader.ask(&format!("LOGIN {OWN} {password}")).await;
        (reader, answer)
    }

    /// Everything up to the answer itself.
    async fn ask(&mut self, command: &str) -> String {
        self.writing.write_all(format!("a {command}\r\n").as_bytes()).await.unwrap();
        self.until("a ").await
    }

    async fn until(&mut self, beginning: &str) -> String {
        let mut said = String::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                said.push_str(&line);
                said.push('\n');
                if line.starts_with(beginning) {
                    break;
                }
            }
        };
        tokio::time::timeout(SOON, reading).await.unwrap();
        said
    }
}

#[tokio::test]
async fn a_mail_that_comes_by_smtp_is_shown_by_imap_at_once_and_kept_across_a_kill() {
    let mut mail = mail().await;
    let (_, refused) = Reader::log_in(mail.imap_port(), "wrong").await;
    assert!(refused.contains("a NO"), "{refused}");
    let (mut reader, welcome) = Reader::log_in(mail.imap_port(), MAIL_PASSWORD).await;
    assert!(welcome.contains("a OK"), "{welcome}");
    assert!(reader.ask("SELECT INBOX").await.contains("* 0 EXISTS"));
    reader.writing.write_all(b"a IDLE\r\n").await.unwrap();
    reader.until("+ ").await;
    mail.deliver(OWN, "Subject: one\n\n.dot\nlast").await.unwrap();
    reader.until("* 1 EXISTS").await;

    mail.kill().unwrap();
    assert!(mail.deliver(OWN, "Subject: lost\n\nx").await.is_err());
    mail.restart().await.unwrap();
    let (mut reader, _) = Reader::log_in(mail.imap_port(), MAIL_PASSWORD).await;
    assert!(reader.ask("SELECT INBOX").await.contains("* 1 EXISTS"));
    assert!(reader.ask("FETCH 1 BODY[]").await.contains("\n.dot\nlast"));
    let received = mail.received(OWN);
    let text = String::from_utf8_lossy(&received[0]);
    assert!(received.len() == 1 && text.starts_with("X-Test-Session: tls=false; user=-;"));

    let directory = mail.dir().to_owned();
    drop(mail);
    assert_eq!(processes_of(&directory), [""; 0]);
}

#[tokio::test]
async fn a_stub_provider_says_what_it_is_told_to_say() {
    let stub = SmtpStub::start(|line| match (line.connection, line.verb) {
        (1, "CONNECT") => Does::Says("421 too busy".to_owned()),
        (2, "CONNECT") => Does::HangsUp,
        _ => Does::Usual,
    });
    for greeting in [Some("421 too busy"), None, Some("220 stub.test")] {
        let stream = TcpStream::connect(("127.0.0.1", stub.port())).await.unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next_line().await.unwrap().as_deref(), greeting);
    }
    wait_for("three", SOON, async || (stub.n_connections() == 3).then_some(())).await.unwrap();
}
