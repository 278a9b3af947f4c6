//! Every mistake at once, and no value in any of them.

use std::time::Duration;

use recado_http::guard::Ports;
use recado_testkit::receiver::AUTHORITY;

use super::*;

struct Role {
    postgres: Postgres,
    redis: Redis,
    key: SecretString,
    workers: u16,
    window: Duration,
    destinations: Destinations,
}

impl Settings for Role {
    fn read(read: &mut Reader<'_>) -> Option<Self> {
        let postgres = Postgres::read(read);
        let redis = Redis::read(read);
        let key = read.secret("RECADO_MASTER_KEY");
        let workers = read.within("RECADO_WORKERS", 4, 1..=64);
        let window = read.millis_or("RECADO_WINDOW_MS", 3_000, 10..=60_000);
        let destinations = Destinations::read(read);
        Some(Self {
            postgres: postgres?,
            redis: redis?,
            key: key?,
            workers,
            window,
            destinations: destinations?,
        })
    }
}

fn good() -> MapEnv {
    MapEnv::from([
        ("RECADO_DATABASE_URL", "postgres://recado:hunter2@db/recado?sslmode=require"),
        ("RECADO_REDIS_URL", "redis://:hunter2@cache"),
        ("RECADO_MASTER_KEY", "hunter2"),
        ("RECADO_ALLOW_PRIVATE_DESTINATIONS", "127.0.0.0/8, ::1/128,"),
        ("PATH", "/bin"),
    ])
}

fn mistakes(env: &MapEnv) -> Vec<String> {
    let error = load::<Role>(env, &Names::default()).err().expect("a mistake");
    error.mistakes.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_set_has_its_default() {
    let role = load::<Role>(&good(), &Names::default()).unwrap();
    assert_eq!((role.workers, role.window), (4, Duration::from_secs(3)));
    assert_eq!(role.postgres.pool_size, 16);
    assert_eq!(role.redis.prefix, "recado");
    assert_eq!(role.destinations.allow_private.len(), 2);
    assert_eq!(role.destinations.ports, Ports::default());
    assert_eq!(role.key.expose(), "hunter2");
}

#[test]
fn one_reading_reports_every_mistake() {
    let env = MapEnv::from([
        ("RECADO_DATABASE_URL", "mysql://u:hunter2@db/x"),
        ("RECADO_REDIS_URL", "hunter2"),
        ("RECADO_MASTER_KEY", "  "),
        ("RECADO_WORKERS", "65"),
        ("RECADO_WINDOW_MS", "3s"),
        ("RECADO_ALLOW_PRIVATE_DESTINATIONS", "10.0.0.0/8,hunter2"),
        ("RECADO_DESTINATION_PORTS", "443,hunter2"),
        ("RECADO_WINDOWS_MS", "5"),
    ]);
    assert_eq!(
        mistakes(&env),
        [
            "RECADO_ALLOW_PRIVATE_DESTINATIONS item 2 is malformed: invalid IP address syntax",
            "RECADO_DATABASE_URL must be an address that begins with postgres:// or postgresql://",
            "RECADO_DESTINATION_PORTS is malformed: item 2 is neither a port from 1 to 65535 nor a range such as 1024-65535",
            "RECADO_MASTER_KEY is required",
            "RECADO_REDIS_URL must be an address that begins with redis:// or rediss://: relative URL without a base",
            "RECADO_WINDOWS_MS is not a variable of Recado; did you mean RECADO_WINDOW_MS?",
            "RECADO_WINDOW_MS must be from 10 to 60000: invalid digit found in string",
            "RECADO_WORKERS must be from 1 to 64",
        ]
    );
}

#[test]
fn no_mistake_and_no_debug_output_shows_a_value() {
    let mut env = good();
    let role = load::<Role>(&env, &Names::default()).unwrap();
    let shown = format!("{env:?} {:?} {:?} {:?}", role.postgres, role.redis, role.key);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("[redacted]") && shown.contains("db/recado"), "{shown}");

    for name in ["RECADO_DATABASE_URL", "RECADO_WORKERS", "RECADO_ALLOW_PRIVATE_DESTINATIONS"] {
        env.set(name, "hunter2");
    }
    let shown = mistakes(&env).join("\n");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn variables_of_other_roles_and_other_programs_are_not_mistakes() {
    let mut env = good();
    env.set("RECADO_AMQP_URL", "amqp://broker");
    env.set("RECADO_DATA_DIR", "/data");
    assert_eq!(mistakes(&env).len(), 2);
    let known = Names::of::<Amqp>().and_name("RECADO_DATA_DIR");
    assert!(load::<Role>(&env, &known).is_ok());
}

#[test]
fn the_list_of_variables_comes_from_the_readers() {
    let names = Names::of::<Role>();
    let described: Vec<_> = names.iter().map(|v| (v.name, v.default.clone())).collect();
    assert!(described.contains(&("RECADO_MASTER_KEY", Fallback::Required)));
    assert!(described.contains(&("RECADO_WORKERS", Fallback::Value("4".into()))));
    assert!(described.contains(&("RECADO_ALLOW_PRIVATE_DESTINATIONS", Fallback::Nothing)));
    let ports = Fallback::Value("80,443,1024-65535".into());
    assert!(described.contains(&("RECADO_DESTINATION_PORTS", ports)));
}

/// What is wrong with this bundle of certificates, if anything is.
fn mistakes_of_bundle(bundle: &[u8]) -> Vec<String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bundle).unwrap();
    let mut env = good();
    env.set("RECADO_CA_FILE", file.path().to_str().unwrap());
    match load::<Role>(&env, &Names::default()) {
        Ok(role) => {
            assert!(!role.destinations.authorities.is_empty());
            Vec::new()
        }
        Err(error) => error.mistakes.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn authorities_are_read_from_their_file() {
    assert!(load::<Role>(&good(), &Names::default()).unwrap().destinations.authorities.is_empty());
    assert_eq!(mistakes_of_bundle(AUTHORITY.as_bytes()), [""; 0]);
    assert_eq!(mistakes_of_bundle(AUTHORITY.repeat(2).as_bytes()), [""; 0]);
}

#[test]
fn authorities_that_are_of_no_use_are_a_mistake_that_shows_nothing_of_the_file() {
    let begin = "-----BEGIN CERTIFICATE-----\n";
    let end = "\n-----END CERTIFICATE-----\n";
    for (bundle, why) in [
        (String::new(), "is of no use: there is no certificate in it"),
        ("hunter2".into(), "is of no use: there is no certificate in it"),
        (format!("{AUTHORITY}{begin}hunter2!{end}"), "is of no use: certificate 2 is not in PEM"),
        (format!("{begin}aHVudGVyMg=={end}"), "is of no use: certificate 1 is malformed"),
        (begin.into(), "is of no use: certificate 1 is not in PEM"),
        (" ".repeat(5 << 20), "names a file of more than 4194304 bytes"),
    ] {
        let mistakes = mistakes_of_bundle(bundle.as_bytes());
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with("RECADO_CA_FILE names a file"), "{mistakes:?}");
        assert!(mistakes[0].ends_with(why), "{mistakes:?}");
    }
    let mut env = good();
    env.set("RECADO_CA_FILE", "/hunter2/none.pem");
    let mistakes = mistakes(&env);
    assert_eq!(
        mistakes,
        ["RECADO_CA_FILE names a file that cannot be read: No such file or directory (os error 2)"]
    );
}

#[test]
fn a_sampler_leaves_traces_whole() {
    let read = |sampler: &'static str, share: &'static str| {
        let names = [("OTEL_TRACES_SAMPLER", sampler), ("OTEL_TRACES_SAMPLER_ARG", share)];
        let env = MapEnv::from(names);
        let mut reader = Reader::new(&env);
        let telemetry = Telemetry::read(&mut reader);
        reader.finish().is_ok().then_some(telemetry).flatten().map(|it| it.trace_ratio)
    };
    assert_eq!(read("", ""), Some(1.0));
    assert_eq!(read("parentbased_always_off", "0.5"), Some(0.0));
    assert_eq!(read("parentbased_traceidratio", "0.25"), Some(0.25));
    for (sampler, share) in [("traceidratio", "0.5"), ("x", ""), ("parentbased_traceidratio", "2")]
    {
        assert_eq!(read(sampler, share), None, "{sampler} {share}");
    }
}
