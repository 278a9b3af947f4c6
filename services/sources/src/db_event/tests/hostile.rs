//! Servers that are none, but speak like one.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// The type of a column, by its number.
const INTEGER: u32 = 23;
/// One that nobody has heard of.
const UNKNOWN: u32 = 999_999;

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

/// Describes whatever is asked as one column of `column_type`, and answers one row of it.
async fn serve(mut stream: TcpStream, column_type: u32) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let length = stream.read_u32().await?;
    stream.read_exact(&mut vec![0; length as usize - 4]).await?;
    let ready = message(b'Z', b"I");
    stream.write_all(&[message(b'R', &[0; 4]), ready.clone()].concat()).await?;
    let column =
        [b"\0\x01c\0\0\0\0\0\0\0", &column_type.to_be_bytes()[..], &[0, 4, 0, 0, 0, 0, 0, 0]];
    let described =
        [message(b'1', b""), message(b't', &[0; 2]), message(b'T', &column.concat())].concat();
    let row = message(b'D', b"\0\x01\0\0\0\x04\0\0\0\x07");
    let done = message(b'C', b"DONE\0");
    let mut answer = Vec::new();
    loop {
        let tag = stream.read_u8().await?;
        let length = stream.read_u32().await?;
        stream.read_exact(&mut vec![0; length as usize - 4]).await?;
        match tag {
            b'P' => answer.extend_from_slice(&described),
            b'B' => answer.extend([message(b'2', b""), row.clone(), done.clone()].concat()),
            b'C' => answer.extend(message(b'3', b"")),
            b'Q' => stream.write_all(&[done.clone(), ready.clone()].concat()).await?,
            b'S' => {
                answer.extend_from_slice(&ready);
                stream.write_all(&std::mem::take(&mut answer)).await?;
            }
            _ => {}
        }
    }
}

/// How reading ends from a server whose columns are all of this type.
async fn reading_columns_of(column_type: u32) -> (&'static str, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("postgres://a:b@{}/d?sslmode=disable", listener.local_addr().unwrap());
    let serving = async {
        let (stream, _) = listener.accept().await.unwrap();
        serve(stream, column_type).await
    };
    let db_event = json!({"outbox": {"table": "t", "settle_ms": 0}});
    let memory = Memory::default();
    let reading = async {
        tokio::select! {
            error = reading(&url, &db_event, &memory) => error,
            () = tokio::time::sleep(SOON) => panic!("it goes on"),
        }
    };
    match tokio::join!(reading, serving).0 {
        SourceError::Failed { code, message } => (code, message),
        SourceError::LeaseLost => panic!("there is no lease"),
    }
}

/// The driver looks an unknown type up, and the types of the columns of that look-up, and so on.
#[tokio::test]
async fn looking_types_up_ends_before_the_stack_does() {
    let (code, message) = reading_columns_of(UNKNOWN).await;
    assert_eq!(code, "query_failed", "{message}");
    assert_eq!(message, "the database sends more than was asked for");
}

#[tokio::test]
async fn rows_of_other_types_than_were_asked_for_are_a_failure() {
    let (code, message) = reading_columns_of(INTEGER).await;
    assert_eq!(code, "query_failed", "{message}");
    assert!(message.starts_with("the database answers something else"), "{message}");
}
