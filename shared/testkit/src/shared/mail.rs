//! Mail servers per test: they start in a second, and may be killed and wiped at will.

use std::ops::{Deref, DerefMut};

use crate::scratch::ScratchDir;
use crate::servers::Mail;

/// Mail servers of one's own, in a directory of their own. All go together with this.
#[derive(Debug)]
pub struct TestMail {
    // Dropped before the directory it writes to.
    servers: Mail,
    _scratch: ScratchDir,
}

impl Deref for TestMail {
    type Target = Mail;

    fn deref(&self) -> &Mail {
        &self.servers
    }
}

impl DerefMut for TestMail {
    fn deref_mut(&mut self) -> &mut Mail {
        &mut self.servers
    }
}

/// New mail servers, with empty mailboxes.
///
/// # Panics
/// If they cannot be started.
pub async fn mail() -> TestMail {
    let scratch = ScratchDir::new().expect("the temporary directory is writable");
    let started = Mail::start(scratch.path().join("mail")).await;
    let servers =
        started.unwrap_or_else(|error| panic!("failed to start a test's mail servers: {error}"));
    TestMail { servers, _scratch: scratch }
}
