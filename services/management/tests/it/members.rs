//! The team: who is in it, and that nobody is in it twice.

use futures_util::future::join_all;
use recado_http::auth::Role;
use recado_store::members;
use recado_types::identity;
use recado_types::trigger::MatchColumn;
use serde_json::{Value, json};

use crate::server::{Answer, Server};

/// The fields that a 409 says are taken.
fn taken(answer: &Answer) -> Vec<&str> {
    assert_eq!((answer.status, answer.code()), (409, "already_exists"), "{answer:?}");
    let fields = answer.body["details"]["fields"].as_array().unwrap();
    fields.iter().map(|field| field["path"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_member_lives_from_post_to_delete() {
    let server = Server::start().await;
    let new = json!({"name": "Ana", "phone": "+55 (11) 99999-0000", "email": "Ana@Example.com"});
    let created = server.post("/api/members", &new).await;
    let path = format!("/api/members/{}", created.id());
    assert_eq!(created.headers["location"], path.as_str());
    let data = created.data(201);
    assert_eq!(data["phone"], "+55 (11) 99999-0000");
    assert_eq!(data["email"], "Ana@Example.com");
    assert_eq!(data["external_id"], Value::Null);
    assert_eq!(data["active"], true);
    assert_eq!(server.get(&path).await.data(200), data);
    assert_eq!(server.get("/api/members").await.data(200), &json!([data]));

    let change = json!({"name": "Bia", "email": null, "external_id": "E-7", "active": false});
    let changed = server.patch(&path, &change).await;
    assert_eq!(changed.data(200)["name"], "Bia");
    assert_eq!(changed.data(200)["email"], Value::Null);
    assert_eq!(changed.data(200)["external_id"], "E-7");
    assert_eq!(changed.data(200)["active"], false);
    assert_eq!(changed.data(200)["phone"], "+55 (11) 99999-0000");

    let nobody = json!({"phone": null, "external_id": null});
    assert_eq!(server.patch(&path, &nobody).await.paths(), ["phone"]);
    assert_eq!(server.get(&path).await.data(200), changed.data(200));

    assert_eq!(server.delete(&path).await.body, json!({"success": true}));
    for gone in [
        server.get(&path).await,
        server.patch(&path, &json!({"name": "x"})).await,
        server.delete(&path).await,
    ] {
        assert_eq!((gone.status, gone.code()), (404, "member_not_found"));
    }
}

#[tokio::test]
async fn every_mistake_of_a_member_is_named() {
    let server = Server::start().await;
    let wrong = json!({
        "id": "x", "phone": "nobody", "email": "nowhere", "external_id": 7, "active": "yes",
        "role": "x",
    });
    let mut paths = server.post("/api/members", &wrong).await;
    assert_eq!(paths.paths().len(), 7, "{paths:?}");
    paths = server.post("/api/members", &json!({"name": "Ana"})).await;
    assert_eq!(paths.paths(), ["phone"]);
    assert_eq!(server.get("/api/members").await.data(200), &json!([]));
}

#[tokio::test]
async fn nobody_is_a_member_twice() {
    let server = Server::start().await;
    let ana = json!({
        "name": "Ana", "phone": "+5511999990000", "email": "ana@example.com", "external_id": "E-7",
    });
    let ana = format!("/api/members/{}", server.post("/api/members", &ana).await.id());
    for (same, fields) in [
        // With and without the ninth digit, and however it is written.
        (json!({"name": "B", "phone": "whatsapp:+55 11 9999-0000"}), vec!["phone"]),
        (json!({"name": "B", "email": "ANA@example.com"}), vec!["email"]),
        (json!({"name": "B", "external_id": "E-7"}), vec!["external_id"]),
        (
            json!({"name": "B", "phone": "+5511999990000", "external_id": "E-7"}),
            vec!["phone", "external_id"],
        ),
    ] {
        let refused = server.post("/api/members", &same).await;
        assert_eq!(taken(&refused), fields, "{same}");
    }
    let other = json!({"name": "Bia", "phone": "+5521988887777"});
    let other = format!("/api/members/{}", server.post("/api/members", &other).await.id());
    let refused = server.patch(&other, &json!({"phone": "+551199990000"})).await;
    assert_eq!(taken(&refused), ["phone"]);
    assert_eq!(server.get(&other).await.data(200)["phone"], "+5521988887777");

    // One's own is not in the way, and what was let go of is free.
    server.patch(&ana, &json!({"phone": "+551199990000"})).await.data(200);
    server.patch(&ana, &json!({"phone": null})).await.data(200);
    server.patch(&other, &json!({"phone": "+5511999990000"})).await.data(200);
}

#[tokio::test]
async fn concurrent_changes_of_a_member_are_all_made_and_of_two_alike_one_is_made() {
    let server = Server::start().await;
    let ana = json!({"name": "Ana", "phone": "+5511999990000"});
    let answers = join_all((0..4).map(|_| server.post("/api/members", &ana))).await;
    let made: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 201).collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != 201) {
        assert_eq!(taken(answer), ["phone"]);
    }

    let path = format!("/api/members/{}", made[0].id());
    let changes = [
        json!({"name": "Bia"}),
        json!({"email": "bia@example.com"}),
        json!({"external_id": "E-7"}),
        json!({"active": false}),
    ];
    for answer in join_all(changes.iter().map(|change| server.patch(&path, change))).await {
        answer.data(200);
    }
    let shown = server.get(&path).await;
    for change in changes {
        for (field, value) in change.as_object().unwrap() {
            assert_eq!(&shown.data(200)[field], value);
        }
    }
}

const IMPORT: &str = "/api/members/import";

/// Sends a table of members to the import, as what it says it is: its status and its body.
async fn import_as(server: &Server, content_type: &str, table: &str) -> (u16, Value) {
    let sent = recado_testkit::http_client()
        .post(format!("{}{IMPORT}", server.base))
        .bearer_auth(server.token(server.ours, Role::Editor))
        .header("content-type", content_type)
        .body(table.to_owned())
        .send();
    let answer = sent.await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// How many were made, changed, and left as they are.
async fn imported(server: &Server, table: &str) -> [u64; 3] {
    let (status, body) = import_as(server, "text/csv; charset=utf-8", table).await;
    assert_eq!(status, 200, "{body}");
    ["created", "updated", "unchanged"].map(|count| body["data"][count].as_u64().unwrap())
}

/// The status, the code, and the paths of the mistakes.
async fn refused(server: &Server, table: &str) -> (u16, String, Vec<String>) {
    let (status, body) = import_as(server, "text/csv", table).await;
    let fields = body["details"]["fields"].as_array().into_iter().flatten();
    let paths = fields.map(|field| field["path"].as_str().unwrap().to_owned()).collect();
    (status, body["error"].as_str().unwrap().to_owned(), paths)
}

#[tokio::test]
async fn a_table_of_members_is_imported_and_the_second_time_it_changes_nothing() {
    let server = Server::start().await;
    let ana = json!({"name": "Ana", "phone": "+5511999990000", "active": false});
    let ana = format!("/api/members/{}", server.post("/api/members", &ana).await.id());
    let them = (server.theirs, Role::Owner);
    let same = json!({"name": "Theirs", "phone": "+5511999990000", "external_id": "E-8"});
    server.call_as(them, "POST", "/api/members", Some(&same)).await.data(201);
    let tag = server.get(&ana).await.headers["etag"].clone();

    // Ana is recognised by her number, however it is written.
    let table = "external_id,name,phone,email\r\n\
                 E-7,Ana Silva,whatsapp:+55 11 9999-0000,ana@example.com\r\n\
                 E-8,\"Souza, Bia\",,\r\n";
    assert_eq!(imported(&server, table).await, [1, 1, 0]);
    let shown = server.get(&ana).await;
    let data = shown.data(200);
    assert_eq!((&data["name"], &data["external_id"]), (&json!("Ana Silva"), &json!("E-7")));
    assert_eq!(data["email"], "ana@example.com");
    assert_eq!(data["active"], false, "the table does not say anything of that");
    assert_ne!(shown.headers["etag"], tag);
    let all = server.get("/api/members").await;
    assert_eq!(all.data(200)[0]["name"], "Souza, Bia");
    assert_eq!(all.data(200)[0]["active"], true);

    assert_eq!(imported(&server, table).await, [0, 0, 2]);
    assert_eq!(server.get("/api/members").await.data(200), all.data(200));

    // What is empty stays as it was; what is not, changes.
    let table = "name,external_id,email,active\nAna Silva,E-7,,yes\nBia,E-8,,\n";
    assert_eq!(imported(&server, table).await, [0, 2, 0]);
    let shown = server.get(&ana).await;
    assert_eq!(shown.data(200)["email"], "ana@example.com");
    assert_eq!(shown.data(200)["active"], true);

    let theirs = server.call_as(them, "GET", "/api/members", None).await;
    assert_eq!(theirs.data(200).as_array().unwrap().len(), 1);
    for (field, value) in same.as_object().unwrap() {
        assert_eq!(&theirs.data(200)[0][field], value, "it is theirs");
    }
}

#[tokio::test]
async fn a_table_with_a_mistake_is_not_imported_at_all() {
    let server = Server::start().await;
    for (name, id) in [("Ana", "E-7"), ("Bia", "E-8")] {
        let email = format!("{name}@example.com");
        let member = json!({"name": name, "external_id": id, "email": email});
        server.post("/api/members", &member).await.data(201);
    }
    let before = server.get("/api/members").await;
    for (table, status, code, paths) in [
        // One line is of two members, or two lines are of one.
        (
            "name,external_id,email\nC,E-9,\nX,E-7,bia@example.com\n",
            409,
            "already_exists",
            vec!["line 3"],
        ),
        (
            "name,external_id,email\nAnn,E-7,\nAnna,,ana@example.com\n",
            409,
            "already_exists",
            vec!["line 3"],
        ),
        (
            "name,external_id,email,active\nC,E-9,,\nD,,nowhere,maybe\n,E-10,,\n",
            400,
            "invalid_input",
            vec!["line 3: email", "line 3: active", "line 4: name"],
        ),
        ("name,external_id\nC,E-9\nD,E-9\n", 400, "invalid_input", vec!["line 3: external_id"]),
        ("name,role\nC,x\n", 400, "invalid_input", vec!["role"]),
        ("name,external_id\nC\nD,E-9,\n", 400, "invalid_input", vec!["line 2", "line 3"]),
        ("name;external_id\nC;E-9\n", 400, "invalid_input", vec!["line 1"]),
    ] {
        let mut expected: Vec<String> = paths.into_iter().map(str::to_owned).collect();
        let (found_status, found_code, mut found) = refused(&server, table).await;
        assert_eq!((found_status, found_code.as_str()), (status, code), "{table}");
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{table}");
    }
    for other in ["application/json", "text/plain"] {
        let (status, body) = import_as(&server, other, "name,external_id\nC,E-9\n").await;
        let refused = (status, body["error"].as_str().unwrap());
        assert_eq!(refused, (415, "unsupported_media_type"), "{other}");
    }
    assert_eq!(server.get("/api/members").await.data(200), before.data(200));
}

#[tokio::test]
async fn a_sender_is_the_active_member_of_the_tenant() {
    let server = Server::start().await;
    let ana = json!({"name": "Ana", "phone": "+55 11 99999-0000"});
    let path = format!("/api/members/{}", server.post("/api/members", &ana).await.id());
    let found = async |tenant, phone: &str| {
        let key = identity::phone_key(phone).unwrap();
        members::find(&server.store, tenant, MatchColumn::Phone, &key).await.unwrap()
    };
    for written in ["whatsapp:+5511999990000", "+551199990000"] {
        assert_eq!(found(server.ours, written).await.unwrap().name, "Ana", "{written}");
        assert_eq!(found(server.theirs, written).await, None, "{written}");
    }
    server.patch(&path, &json!({"active": false})).await.data(200);
    assert_eq!(found(server.ours, "+5511999990000").await, None);
}
