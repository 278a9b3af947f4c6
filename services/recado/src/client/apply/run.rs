//! Doing what was planned, one request after the other; the first that fails is the last.

use std::collections::{HashMap, HashSet};

use reqwest::header::HeaderValue;
use serde_json::{Map, Value};

use super::file::Item;
use super::order::Step;
use super::plan::{Action, Planned, steps, with_ids, without_tools};
use super::secrets::Secrets;
use crate::client::api::{Answer, Api};
use crate::client::failure::{Failure, Refusal};
use crate::client::{lookup, print};

/// How far it came.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// What stood in for ids, and what came in its place.
    made: HashMap<String, String>,
    /// Of agents that are yet to get their tools.
    etags: HashMap<usize, Option<HeaderValue>>,
    /// The ids of what was made or changed, by their places in the plan.
    pub(super) done: HashMap<usize, String>,
}

impl Progress {
    /// Does everything that is planned; tells each thing that was done if `aloud`.
    pub(super) async fn perform(
        &mut self,
        api: &Api,
        planned: &[Planned],
        secrets: &mut Secrets,
        aloud: bool,
    ) -> Result<(), Failure> {
        for step in steps(planned) {
            let (Step::Whole(place) | Step::WithoutTools(place) | Step::Tools(place)) = step;
            let thing = &planned[place];
            let label = thing.resource.item.label();
            let stopped = |failure: Failure| in_file(&thing.resource.item, failure);
            let told = match step {
                Step::Tools(_) => {
                    self.complete(api, thing, place).await.map_err(stopped)?;
                    format!("{label} has all its tools")
                }
                _ if thing.action == Action::Create => {
                    let missing = match step {
                        Step::WithoutTools(_) => self.missing(planned),
                        Step::Whole(_) | Step::Tools(_) => HashSet::new(),
                    };
                    let answer = self.create(api, thing, &missing).await.map_err(stopped)?;
                    let (etag, data) = answer.into_parts();
                    let id = lookup::id(&data);
                    secrets.keep(&thing.resource.item, &data)?;
                    self.made.insert(thing.resource.id.clone(), id.clone());
                    self.etags.insert(place, etag);
                    self.done.insert(place, id.clone());
                    format!("{label} created  {id}")
                }
                _ => {
                    self.change(api, thing).await.map_err(stopped)?;
                    self.done.insert(place, thing.resource.id.clone());
                    format!("{label} changed")
                }
            };
            if aloud {
                print::out(&told)?;
            }
        }
        Ok(())
    }

    /// What stands in for things that are yet to be made.
    fn missing<'p>(&self, planned: &'p [Planned]) -> HashSet<&'p str> {
        let new = planned.iter().filter(|thing| thing.action == Action::Create);
        let ids = new.map(|thing| thing.resource.id.as_str());
        ids.filter(|id| !self.made.contains_key(*id)).collect()
    }

    /// Makes it, without the tools that are `missing`.
    async fn create(
        &self,
        api: &Api,
        thing: &Planned,
        missing: &HashSet<&str>,
    ) -> Result<Answer, Failure> {
        let body = without_tools(thing.body(), missing);
        let body = with_ids(&Value::Object(body), &self.made);
        api.post(&["api", thing.resource.item.kind.path()], &body).await
    }

    async fn change(&self, api: &Api, thing: &Planned) -> Result<Answer, Failure> {
        let body = with_ids(&Value::Object(thing.body().clone()), &self.made);
        let path = ["api", thing.resource.item.kind.path(), &thing.resource.id];
        api.patch(&path, thing.etag.clone(), &body).await
    }

    /// Gives an agent the tools that were not there when it was made.
    async fn complete(&self, api: &Api, thing: &Planned, place: usize) -> Result<Answer, Failure> {
        let lists = ["tools", "variations"].into_iter();
        let body: Map<String, Value> = lists
            .filter_map(|field| {
                Some((field.to_owned(), with_ids(thing.body().get(field)?, &self.made)))
            })
            .collect();
        let id = &self.done[&place];
        let path = ["api", thing.resource.item.kind.path(), id];
        let etag = self.etags.get(&place).cloned().flatten();
        api.patch(&path, etag, &Value::Object(body)).await
    }
}

/// A refusal with the places in the file that it is about.
pub(super) fn in_file(item: &Item, failure: Failure) -> Failure {
    match failure {
        Failure::Refused(refusal) => {
            let placed = |(path, reason): (String, String)| {
                let at = item.at(&path);
                (format!("{at}: {path}"), reason)
            };
            let Refusal { status, code, message, fields, standing } = *refusal;
            let fields = fields.into_iter().map(placed).collect();
            let message = format!("{}: {message}", item.label());
            Failure::Refused(Box::new(Refusal { status, code, message, fields, standing }))
        }
        other => other,
    }
}
