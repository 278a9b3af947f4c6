//! What can be done at an address.
//!
//! A [`Resource`] says it once: routing, permissions, rate limits, the audit log and the OpenAPI
//! document all go by it, so none of them can know an operation that the others do not.

use actix_web::Route;
use actix_web::http::Method as HttpMethod;
use recado_http::Problem;
use recado_http::auth::Role;
use recado_types::scope::Scope;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::Found;

/// One address with everything that can be done there.
#[derive(Debug)]
pub struct Resource {
    /// The address; what is in braces is an id or a name.
    pub path: &'static str,
    /// What it is about: a heading of the reference.
    pub tag: &'static str,
    /// In which form its errors are.
    pub form: ErrorForm,
    /// What can be done there.
    pub operations: &'static [Operation],
}

impl Resource {
    /// An address of our own interface.
    pub(crate) const fn new(
        path: &'static str,
        tag: &'static str,
        operations: &'static [Operation],
    ) -> Self {
        Self { path, tag, form: ErrorForm::Native, operations }
    }

    /// An address of somebody else's interface, whose errors look like that.
    pub(crate) const fn with_errors(mut self, form: ErrorForm) -> Self {
        self.form = form;
        self
    }

    /// The methods it has, as `Allow` tells them: what has GET has HEAD (`head.rs`).
    pub fn methods(&self) -> String {
        let names = self.operations.iter().flat_map(|at| match at.method {
            Method::Get => &["GET", "HEAD"][..],
            Method::Post => &["POST"],
            Method::Put => &["PUT"],
            Method::Patch => &["PATCH"],
            Method::Delete => &["DELETE"],
        });
        names.copied().collect::<Vec<&str>>().join(", ")
    }

    /// What that method does here.
    pub(crate) fn operation(&self, method: &HttpMethod) -> Option<&'static Operation> {
        self.operations.iter().find(|at| at.method.name() == method.as_str())
    }
}

/// What an error looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorForm {
    /// Seed 000's document.
    Native,
    /// A problem document (RFC 9457) with our codes, as ingress has it.
    Rfc9457,
    /// A problem document in the words of seed 001; our code is its `reason`.
    Manage,
    /// `google.rpc.Status`, as seed 002's SDKs have it.
    RpcStatus,
}

impl ErrorForm {
    /// That of an address at which there is nothing: as its neighbours have it.
    pub(crate) fn near(path: &str) -> Self {
        match path.split('/').nth(1) {
            Some("manage") => Self::Manage,
            Some("v1") => Self::RpcStatus,
            _ => Self::Native,
        }
    }
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Looks.
    Get,
    /// Makes, or does.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As in a request.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever asks.
    Public,
    /// Tokens of this role and of higher ones.
    Role(Role),
    /// The same for [`Role::Viewer`], and API keys with this scope or with [`Scope::Read`].
    Key(Scope),
    /// Those who run the installation.
    Operator,
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its JSON Schema.
    pub schema: fn() -> Value,
}

/// What has to be sent along.
#[derive(Clone, Copy, Debug)]
pub struct RequestBody {
    /// Its JSON Schema (2020-12).
    pub schema: fn() -> Value,
    /// One that would be accepted.
    pub example: fn() -> Value,
    /// Whether there may be none.
    pub optional: bool,
    /// What it is.
    pub content_type: &'static str,
}

impl RequestBody {
    /// JSON.
    pub(crate) const fn json(schema: fn() -> Value, example: fn() -> Value) -> Self {
        Self { schema, example, optional: false, content_type: "application/json" }
    }

    /// JSON that need not be there.
    pub(crate) const fn optional_json(schema: fn() -> Value, example: fn() -> Value) -> Self {
        Self { optional: true, ..Self::json(schema, example) }
    }
}

/// What is answered if all goes well.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Its body; `None` for none.
    pub schema: Option<fn(&mut SchemaGenerator) -> Schema>,
}

/// One method at one address.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// Which.
    pub method: Method,
    /// What it does, in a few words: `List tools`.
    pub summary: &'static str,
    /// What else there is to know, in Markdown; may be empty.
    pub details: &'static str,
    /// Who may.
    pub access: Access,
    /// What the query may say.
    pub query: &'static [Parameter],
    /// What has to be sent along.
    pub body: Option<RequestBody>,
    /// What is answered.
    pub answer: Answer,
    /// What can go wrong besides what can go wrong everywhere: see [`crate::openapi`].
    pub problems: &'static [Problem],
    /// Whether its answer has an `ETag`, and whether it heeds `If-Match`.
    pub etag: bool,
    pub(crate) route: fn() -> Route,
}

impl Operation {
    const fn new(
        method: Method,
        summary: &'static str,
        access: Access,
        route: fn() -> Route,
    ) -> Self {
        let answer = Answer { status: 200, schema: None };
        Self {
            method,
            summary,
            details: "",
            access,
            query: &[],
            body: None,
            answer,
            problems: &[],
            etag: false,
            route,
        }
    }

    pub(crate) const fn get(summary: &'static str, access: Access, route: fn() -> Route) -> Self {
        Self::new(Method::Get, summary, access, route)
    }

    pub(crate) const fn post(summary: &'static str, access: Access, route: fn() -> Route) -> Self {
        Self::new(Method::Post, summary, access, route)
    }

    pub(crate) const fn put(summary: &'static str, access: Access, route: fn() -> Route) -> Self {
        Self::new(Method::Put, summary, access, route)
    }

    pub(crate) const fn patch(summary: &'static str, access: Access, route: fn() -> Route) -> Self {
        Self::new(Method::Patch, summary, access, route)
    }

    pub(crate) const fn delete(
        summary: &'static str,
        access: Access,
        route: fn() -> Route,
    ) -> Self {
        Self::new(Method::Delete, summary, access, route)
    }

    /// What else there is to know.
    pub(crate) const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    /// What the query may say.
    pub(crate) const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    /// What has to be sent along.
    pub(crate) const fn body(mut self, body: RequestBody) -> Self {
        self.body = Some(body);
        self
    }

    /// What is answered, as it is.
    pub(crate) const fn answers<T: JsonSchema>(mut self, status: u16) -> Self {
        self.answer = Answer { status, schema: Some(SchemaGenerator::subschema_for::<T>) };
        self
    }

    /// That there is nothing to answer.
    pub(crate) const fn answers_nothing(mut self) -> Self {
        self.answer = Answer { status: 204, schema: None };
        self
    }

    /// What is answered, in `data`.
    pub(crate) const fn answers_data<T: JsonSchema>(self, status: u16) -> Self {
        self.answers::<Found<T>>(status)
    }

    /// What can go wrong besides what can go wrong everywhere.
    pub(crate) const fn problems(mut self, problems: &'static [Problem]) -> Self {
        self.problems = problems;
        self
    }

    /// Its answer has an `ETag`; if it writes, it heeds `If-Match`.
    pub(crate) const fn with_etag(mut self) -> Self {
        self.etag = true;
        self
    }

    /// Whether it changes something.
    pub(crate) fn writes(&self) -> bool {
        self.method != Method::Get
    }
}
