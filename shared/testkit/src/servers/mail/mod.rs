//! Private mail servers: SMTP takes mails for whoever they are for, IMAP (Dovecot) shows them.
//!
//! Every address has a mailbox, and one password opens all of them. SMTP takes mails with and
//! without a login, with and without TLS, and notes in each how it came: see [`Mail::received`].

mod dovecot;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::account::Account;
use super::process::{Launch, Ready, Signals};
use super::{PortLease, Recipe, Server, ServerError, programs};
use crate::receiver::tls;

/// What opens every mailbox.
pub const PASSWORD: &str = "open-sesame-7";

/// How long taking one mail, or a greeting, may take.
const SOON: Duration = Duration::from_secs(20);

/// What keeps mails that come by SMTP, in Python with Debian's aiosmtpd.
const SMTPD: &str = include_str!("smtpd.py");

/// Private mail servers, which come and go together.
pub type Mail = Server<MailRecipe>;

/// How private mail servers are set up and run.
#[derive(Debug)]
pub struct MailRecipe {
    smtp: PortLease,
    smtps: PortLease,
    imap: PortLease,
    imaps: PortLease,
}

impl Mail {
    /// Starts servers with their mailboxes in `dir`.
    pub async fn start(dir: impl AsRef<Path>) -> Result<Self, ServerError> {
        let dir = dir.as_ref();
        let lease = || PortLease::acquire().map_err(ServerError::io("lease a port for", dir));
        let recipe =
            MailRecipe { smtp: lease()?, smtps: lease()?, imap: lease()?, imaps: lease()? };
        Self::launch(recipe, dir).await
    }

    /// Where SMTP is spoken: in the clear, or after STARTTLS.
    pub fn smtp_port(&self) -> u16 {
        self.recipe.smtp.port()
    }

    /// Where SMTP is spoken with TLS from the start.
    pub fn smtps_port(&self) -> u16 {
        self.recipe.smtps.port()
    }

    /// Where IMAP is spoken: in the clear, or after STARTTLS.
    pub fn imap_port(&self) -> u16 {
        self.recipe.imap.port()
    }

    /// Where IMAP is spoken with TLS from the start.
    pub fn imaps_port(&self) -> u16 {
        self.recipe.imaps.port()
    }

    /// Who vouches for them, in PEM: they are 127.0.0.1 and `receiver.test`.
    pub fn ca_pem(&self) -> &'static str {
        tls::AUTHORITY
    }

    /// Puts a mail into the mailbox of `recipient`, by SMTP; its lines may end in any way.
    pub async fn deliver(&self, recipient: &str, raw: impl AsRef<[u8]>) -> Result<(), ServerError> {
        let failed = |output| ServerError::Command { command: "delivering a mail", output };
        match timeout(SOON, hand_over(self.smtp_port(), recipient, raw.as_ref())).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refusal)) => Err(failed(refusal)),
            Err(_elapsed) => Err(failed("no answer".to_owned())),
        }
    }

    /// What is in the mailbox of `recipient`, in the order in which it came. Each mail begins with
    /// a header of the server's: `X-Test-Session: tls=<true|false>; user=<login or ->; from=<…>`.
    pub fn received(&self, recipient: &str) -> Vec<Vec<u8>> {
        let mailbox = self.dir().join("mail").join(recipient.to_lowercase()).join("Maildir");
        let files = |folder: &str| fs::read_dir(mailbox.join(folder)).into_iter().flatten();
        let mails = files("new").chain(files("cur")).flatten();
        let mut mails: Vec<PathBuf> = mails.map(|mail| mail.path()).collect();
        mails.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
        // One may be moved from `new` to `cur` meanwhile; the next look finds it.
        mails.iter().filter_map(|mail| fs::read(mail).ok()).collect()
    }
}

impl Recipe for MailRecipe {
    const NAME: &'static str = "the mail servers";
    const READY_WITHIN: Duration = Duration::from_mins(1);

    fn prepare(&self, dir: &Path) -> Result<(), ServerError> {
        let mail = dir.join("mail");
        fs::create_dir_all(&mail).map_err(ServerError::io("create", &mail))?;
        let account = Account::of_servers()?;
        // Dovecot makes its sockets in it.
        account.own(dir)?;
        account.own(&mail)?;
        for (name, text) in [
            ("certificate.pem", tls::certificate_pem()),
            ("key.pem", tls::key_pem()),
            ("smtpd.py", SMTPD.to_owned()),
            ("dovecot.conf", dovecot::configuration(self, dir, &account)?),
        ] {
            let file = dir.join(name);
            fs::write(&file, text).map_err(ServerError::io("write", file))?;
        }
        Ok(())
    }

    fn launches(&self, dir: &Path) -> Result<Vec<Launch>, ServerError> {
        let account = Account::of_servers()?;
        let python = programs::of_mail_servers(
            "/usr/bin/python3",
            "/usr/lib/python3/dist-packages/aiosmtpd",
        )?;
        let ports = [&self.smtp, &self.smtps].map(|lease| lease.port().to_string().into());
        let (program, arguments) = account.run(
            python,
            ["-B".into(), "-u".into(), dir.join("smtpd.py").into(), dir.into(), PASSWORD.into()]
                .into_iter()
                .chain(ports),
        )?;
        let smtpd = Launch {
            program,
            arguments,
            environment: Vec::new(),
            log: dir.join("smtpd.log"),
            signals: Signals::Usual,
            ready: Ready::Listening(self.smtps.port()),
        };
        let dovecot = programs::of_mail_servers("/usr/sbin/dovecot", "/usr/lib/dovecot/imap")?;
        let (program, arguments) =
            account.run(dovecot, ["-F".into(), "-c".into(), dir.join("dovecot.conf").into()])?;
        let dovecot = Launch {
            program,
            arguments,
            environment: Vec::new(),
            log: dir.join("dovecot.log"),
            signals: Signals::Usual,
            ready: Ready::Serving,
        };
        Ok(vec![smtpd, dovecot])
    }

    /// Listening is not enough: the master does, before anybody is there who would answer.
    async fn is_serving(&self) -> bool {
        let greeted = async {
            let stream = TcpStream::connect(("127.0.0.1", self.imap.port())).await.ok()?;
            let mut greeting = String::new();
            BufReader::new(stream).read_line(&mut greeting).await.ok()?;
            greeting.starts_with("* OK").then_some(())
        };
        matches!(timeout(SOON, greeted).await, Ok(Some(())))
    }
}

/// Says what a client says who has one mail. `Err` is what came back.
async fn hand_over(port: u16, recipient: &str, raw: &[u8]) -> Result<(), String> {
    let said = |error: std::io::Error| error.to_string();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.map_err(said)?;
    let (reading, mut writing) = stream.into_split();
    let mut answers = BufReader::new(reading).lines();
    let mut data = Vec::with_capacity(raw.len() + 1_024);
    for line in raw.split(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    let lines = [
        Vec::new(),
        b"HELO test.invalid\r\n".to_vec(),
        b"MAIL FROM:<sender@test.invalid>\r\n".to_vec(),
        format!("RCPT TO:<{recipient}>\r\n").into_bytes(),
        b"DATA\r\n".to_vec(),
        data,
    ];
    for line in lines {
        writing.write_all(&line).await.map_err(said)?;
        let answer = answers.next_line().await.map_err(said)?.unwrap_or_default();
        if !answer.starts_with(['2', '3']) {
            return Err(answer);
        }
    }
    Ok(())
}
