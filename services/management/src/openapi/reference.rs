//! `/openapi.json`, and `/docs`: a page that shows it. Anybody may read both, and everything on
//! the page comes from here.

use std::sync::OnceLock;

use actix_web::http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap,
    IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::web::{self, Bytes, Data, Path, ServiceConfig, resource};
use actix_web::{HttpRequest, HttpResponse};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use recado_http::problem::method_not_allowed;
use recado_http::{ApiError, Problem};
use sha2::{Digest, Sha256};

use super::archive::gzipped;
use super::document;

/// Nothing from anywhere else. Swagger UI writes styles into elements, and has its icons in URLs.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What is served.
pub(crate) struct Reference {
    public_url: String,
    /// Made when it is first asked for: most processes never are.
    document: OnceLock<File>,
    page: File,
    parts: [(&'static str, File); 4],
}

/// Something to send, and how to know it again.
struct File {
    content_type: &'static str,
    is_gzipped: bool,
    bytes: Bytes,
    tag: String,
}

impl Reference {
    /// # Errors
    /// If this program was built without what the page is made of.
    pub(crate) fn new(public_url: &str) -> anyhow::Result<Self> {
        let style = packed("text/css", "swagger-ui.css")?;
        let script = packed("text/javascript", "swagger-ui-bundle.js")?;
        Ok(Self {
            public_url: public_url.to_owned(),
            document: OnceLock::new(),
            page: File::new("text/html; charset=utf-8", include_bytes!("page/index.html")),
            parts: [
                ("swagger-ui.css", style),
                ("swagger-ui-bundle.js", script),
                ("page.css", File::new("text/css", include_bytes!("page/page.css"))),
                ("page.js", File::new("text/javascript", include_bytes!("page/page.js"))),
            ],
        })
    }

    fn document(&self) -> &File {
        let make = || document(&self.public_url).to_string();
        self.document.get_or_init(|| File::new("application/json", make()))
    }
}

/// A file of Swagger UI. It is sent as gzip to everybody: whatever runs it understands that.
fn packed(content_type: &'static str, name: &str) -> anyhow::Result<File> {
    let archive = utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
    let bytes = gzipped(archive, &format!("/dist/{name}"));
    let bytes = bytes.with_context(|| format!("there is no {name} in Swagger UI"))?;
    Ok(File { is_gzipped: true, ..File::new(content_type, bytes) })
}

impl File {
    fn new(content_type: &'static str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Bytes::from(bytes.into());
        let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(&bytes)));
        Self { content_type, is_gzipped: false, bytes, tag }
    }

    /// The file, or that it is still what the client has.
    fn answer(&self, request: &HttpRequest) -> HttpResponse {
        let is_known = knows(request.headers(), &self.tag);
        let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
        response
            .insert_header((ETAG, self.tag.as_str()))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .insert_header((CONTENT_SECURITY_POLICY, CONTENT_POLICY))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        if is_known {
            return response.finish();
        }
        if self.is_gzipped {
            response.insert_header((CONTENT_ENCODING, "gzip"));
        }
        response.insert_header((CONTENT_TYPE, self.content_type)).body(self.bytes.clone())
    }
}

/// Whether the client has this version (RFC 9110, 13.1.2).
fn knows(headers: &HeaderMap, tag: &str) -> bool {
    let texts = headers.get_all(IF_NONE_MATCH).filter_map(|header| header.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// Registers the addresses. They are no part of [`crate::http::resources`]: nobody is asked who
/// they are, nothing is counted, and the document does not describe itself.
pub(crate) fn configure(service: &mut ServiceConfig) {
    let only_get = || method_not_allowed("GET, HEAD");
    let at = |path: &str| resource(path).default_service(only_get());
    service
        .service(at("/openapi.json").route(web::get().to(show_document)))
        .service(at("/docs").route(web::get().to(show_page)))
        .service(at("/docs/{name}").route(web::get().to(show_part)));
}

async fn show_document(reference: Data<Reference>, request: HttpRequest) -> HttpResponse {
    reference.document().answer(&request)
}

async fn show_page(reference: Data<Reference>, request: HttpRequest) -> HttpResponse {
    reference.page.answer(&request)
}

async fn show_part(
    reference: Data<Reference>,
    request: HttpRequest,
    name: Path<String>,
) -> Result<HttpResponse, ApiError> {
    let part = reference.parts.iter().find(|(known, _)| *known == name.as_str());
    Ok(part.ok_or(Problem::NotFound)?.1.answer(&request))
}
