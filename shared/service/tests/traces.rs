//! Traces reach the collector, those of the last moment too. A process of its own: telemetry is
//! for a whole process.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

use recado_service::config::MapEnv;
use recado_service::{Context, Process};

/// Reads one request, answers it, and returns it.
fn answer(mut socket: TcpStream) -> Vec<u8> {
    let mut request = Vec::new();
    while !is_complete(&request) {
        let mut chunk = [0; 4_096];
        let n_read = socket.read(&mut chunk).expect("the exporter sends all of its request");
        assert!(n_read > 0, "the exporter closed the connection early");
        request.extend_from_slice(&chunk[..n_read]);
    }
    socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("it waits for this");
    request
}

fn is_complete(request: &[u8]) -> bool {
    let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") else { return false };
    let headers = String::from_utf8_lossy(&request[..end]).to_lowercase();
    let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a number"));
    request.len() >= end + 4 + length
}

#[test]
fn a_span_of_the_last_moment_is_sent_before_the_process_ends() {
    let collector = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = collector.local_addr().expect("it is bound");
    let received = thread::spawn(move || answer(collector.accept().expect("a connection").0));

    let env = MapEnv::from([
        ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{address}/")),
        ("RECADO_METRICS_LISTEN", "127.0.0.1:0".to_owned()),
        ("RECADO_LOG", "info".to_owned()),
    ]);
    let code = Process::new("probe", &env).run(async |_: Context, (): ()| {
        tracing::info_span!(target: "recado_probe", "last.words").in_scope(|| {
            tracing::info!("a line of the log may look up the trace it belongs to");
        });
        Ok(())
    });

    assert_eq!(code, ExitCode::SUCCESS);
    let request = received.join().expect("the collector got a request");
    let request = String::from_utf8_lossy(&request);
    assert!(request.starts_with("POST /v1/traces "), "{request}");
    assert!(request.contains("recado-probe") && request.contains("last.words"), "{request}");
}
