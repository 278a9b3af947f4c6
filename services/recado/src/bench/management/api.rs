//! One who looks things up: a kept connection to management.

use std::io;
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::net::TcpStream;

use super::super::http1::Wire;
use super::super::system::System;

/// Asks one question at a time.
#[derive(Clone)]
pub(super) struct Access {
    address: SocketAddr,
    token: String,
}

/// The same with a connection of its own.
pub(super) struct Api {
    access: Access,
    wire: Option<Wire>,
}

impl Access {
    /// As a viewer of the observed tenant.
    pub(super) fn of(system: &System) -> anyhow::Result<Self> {
        Ok(Self {
            address: system.management_address()?,
            token: system.management().token("viewer")?,
        })
    }

    pub(super) fn connect(&self) -> Api {
        Api { access: self.clone(), wire: None }
    }
}

impl Api {
    pub(super) fn of(system: &System) -> anyhow::Result<Self> {
        Ok(Access::of(system)?.connect())
    }

    /// What is answered; an error if it is no 200.
    pub(super) async fn get(&mut self, path: &str) -> anyhow::Result<&[u8]> {
        let Access { address, token } = &self.access;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        let wire = match &mut self.wire {
            Some(wire) => wire,
            none => none.insert(Wire::new(TcpStream::connect(address).await?)?),
        };
        wire.write(request.as_bytes()).await?;
        let answer = wire.read().await?;
        let answer = answer.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        match answer.status().context("no HTTP answer")? {
            200 => Ok(answer.body),
            status => {
                bail!("GET {path} was answered {status}: {}", String::from_utf8_lossy(answer.body))
            }
        }
    }
}
