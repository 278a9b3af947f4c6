//! How a private Dovecot is configured: one account runs everything, and nothing is outside `dir`.

use std::fs;
use std::path::Path;

use super::super::account::Account;
use super::super::{PortLease, ServerError};
use super::{MailRecipe, PASSWORD};

/// The whole of `dovecot.conf`.
pub(super) fn configuration(
    recipe: &MailRecipe,
    dir: &Path,
    account: &Account,
) -> Result<String, ServerError> {
    let user = name_of("/etc/passwd", account.uid())?;
    let group = name_of("/etc/group", account.gid())?;
    let [imap, imaps] = [&recipe.imap, &recipe.imaps].map(PortLease::port);
    let dir = dir.display();
    Ok(format!(
        "\
base_dir = {dir}/run
state_dir = {dir}/run
log_path = /dev/stderr
protocols = imap
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
first_valid_uid = 1
first_valid_gid = 1
mail_home = {dir}/mail/%Lu
mail_location = maildir:~/Maildir
auth_mechanisms = plain login
auth_username_chars =
disable_plaintext_auth = no
auth_failure_delay = 0
ssl = yes
ssl_cert = <{dir}/certificate.pem
ssl_key = <{dir}/key.pem
namespace inbox {{
  inbox = yes
}}
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={user} gid={group}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
"
    ))
}

/// The name of an account or group: `name:x:id:…` is its line in `file`.
fn name_of(file: &str, id: u32) -> Result<String, ServerError> {
    let lines = fs::read_to_string(file).map_err(ServerError::io("read", file))?;
    let name = lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    });
    let output = format!("{file} has no name for {id}");
    name.ok_or(ServerError::Prepare { program: "the set-up of Dovecot", output })
}
