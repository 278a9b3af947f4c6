//! The rules, each on its own.

use std::collections::{BTreeMap, BTreeSet};

use super::report::{Place, Summary, Timeline, Violation, Violations};
use super::{Log, Post, Sighting};

pub(super) fn check(
    log: &Log,
    inputs_are_callbacks: bool,
    redelivery_reorders: bool,
) -> Result<Summary, Violations> {
    let inputs = if inputs_are_callbacks { &log.callbacks } else { &log.inputs };
    let inputs = Sightings::new(Place::Input, &log.posts, inputs);
    let mut found = inputs.violations();
    let mut reordered = inputs.reordered();

    let callbacks = Sightings::new(Place::Callback, &log.posts, &log.callbacks);
    if !inputs_are_callbacks {
        found.extend(callbacks.violations());
        reordered.extend(callbacks.reordered());
    }
    found.extend(callbacks.late_repeats());
    found.extend(callbacks.broken_chunks());

    let n_reordered = reordered.len();
    if !redelivery_reorders {
        found.extend(reordered);
    }
    if !found.is_empty() {
        let timeline = Timeline::of(log, &found);
        return Err(Violations { found, timeline });
    }
    let acknowledged = log.posts.values().filter(|post| post.acknowledged.is_some()).count();
    Ok(Summary {
        n_posted: log.posts.len(),
        n_acknowledged: acknowledged,
        n_executed: inputs.seen.len(),
        n_inputs: inputs.all.len(),
        n_repeated_inputs: inputs.n_repeats(),
        n_callbacks: callbacks.all.len(),
        n_repeated_callbacks: callbacks.n_repeats(),
        n_reordered,
    })
}

/// Everything seen at one place, first sightings by token.
struct Sightings<'log> {
    place: Place,
    posts: &'log BTreeMap<String, Post>,
    all: &'log [Sighting],
    seen: BTreeMap<&'log str, &'log Sighting>,
}

impl<'log> Sightings<'log> {
    fn new(place: Place, posts: &'log BTreeMap<String, Post>, all: &'log [Sighting]) -> Self {
        let mut seen = BTreeMap::new();
        for sighting in all {
            for token in &sighting.tokens {
                seen.entry(token.as_str()).or_insert(sighting);
            }
        }
        Self { place, posts, all, seen }
    }

    fn violations(&self) -> Vec<Violation> {
        let mut found = self.lost();
        found.extend(self.invented());
        found.extend(self.mixed());
        found.extend(self.twice());
        found.extend(self.keys_reused());
        found
    }

    fn lost(&self) -> Vec<Violation> {
        let acknowledged = self.posts.iter().filter(|(_, post)| post.acknowledged.is_some());
        acknowledged
            .filter(|(token, _)| !self.seen.contains_key(token.as_str()))
            .map(|(token, post)| Violation::Lost {
                place: self.place,
                session: post.session.clone(),
                message: token.clone(),
                key: post.key.clone(),
            })
            .collect()
    }

    fn invented(&self) -> Vec<Violation> {
        let unknown = |token: &String| !self.posts.contains_key(token);
        let is_invented = |sighting: &&Sighting| {
            // The later chunks of one message's answer need not repeat its token.
            let empty = sighting.tokens.is_empty() && !continues(&sighting.text);
            empty || sighting.tokens.iter().any(unknown)
        };
        let invented = self.all.iter().filter(is_invented);
        invented
            .map(|sighting| Violation::Invented {
                place: self.place,
                session: sighting.session.clone(),
                text: sighting.text.clone(),
            })
            .collect()
    }

    fn mixed(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for sighting in self.all {
            for token in &sighting.tokens {
                let Some(post) = self.posts.get(token) else { continue };
                if post.session != sighting.session {
                    found.push(Violation::Mixed {
                        place: self.place,
                        message: token.clone(),
                        session: post.session.clone(),
                        seen_in: sighting.session.clone(),
                    });
                }
            }
        }
        found
    }

    fn twice(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for sighting in self.all {
            let mut here = BTreeSet::new();
            for token in &sighting.tokens {
                let first = self.seen[token.as_str()];
                let again = !here.insert(token);
                if again || first.key != sighting.key {
                    found.push(Violation::Twice {
                        place: self.place,
                        session: sighting.session.clone(),
                        message: token.clone(),
                        keys: [first.key.clone(), sighting.key.clone()],
                    });
                }
            }
        }
        found
    }

    fn keys_reused(&self) -> Vec<Violation> {
        let mut first: BTreeMap<&str, &Sighting> = BTreeMap::new();
        let mut found = Vec::new();
        for sighting in self.all {
            let before = *first.entry(&sighting.key).or_insert(sighting);
            if before.tokens != sighting.tokens || before.session != sighting.session {
                found.push(Violation::KeyReused {
                    place: self.place,
                    session: sighting.session.clone(),
                    key: sighting.key.clone(),
                });
            }
        }
        found
    }

    /// A message was acknowledged before another was sent, and yet comes after it.
    fn reordered(&self) -> Vec<Violation> {
        let mut latest_sent: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        let mut found = Vec::new();
        for (token, post) in self.in_order_of_first_sighting() {
            let latest = latest_sent.entry(&post.session).or_insert((post.sent, token));
            if post.acknowledged.is_some_and(|acknowledged| acknowledged < latest.0) {
                found.push(Violation::Reordered {
                    place: self.place,
                    session: post.session.clone(),
                    first: token.to_owned(),
                    second: latest.1.to_owned(),
                });
            }
            *latest = (*latest).max((post.sent, token));
        }
        found
    }

    fn in_order_of_first_sighting(&self) -> Vec<(&'log str, &'log Post)> {
        let mut done = BTreeSet::new();
        let tokens = self.all.iter().flat_map(|sighting| &sighting.tokens);
        tokens
            .filter(|token| done.insert(token.as_str()))
            .filter_map(|token| Some((token.as_str(), self.posts.get(token)?)))
            .collect()
    }

    /// Repeating is for what is in doubt, which is the last one of a session only.
    fn late_repeats(&self) -> Vec<Violation> {
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        let mut done = BTreeSet::new();
        let mut found = Vec::new();
        for sighting in self.all {
            let is_new = done.insert(&sighting.key);
            let previous = last.insert(&sighting.session, &sighting.key);
            if !is_new && previous != Some(sighting.key.as_str()) {
                found.push(Violation::RepeatedLate {
                    session: sighting.session.clone(),
                    key: sighting.key.clone(),
                });
            }
        }
        found
    }

    /// Chunk `i` of `n` follows chunk `i - 1` of `n`, or itself.
    fn broken_chunks(&self) -> Vec<Violation> {
        let mut last: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
        let mut found = Vec::new();
        for sighting in self.all {
            let chunk = chunk(&sighting.text).unwrap_or((1, 1));
            let previous = last.insert(&sighting.session, chunk);
            let begins = chunk.0 == 1 && previous.is_none_or(|(i, n)| i == n);
            let follows = previous == Some(chunk) || previous == Some((chunk.0 - 1, chunk.1));
            if !begins && !follows {
                found.push(Violation::ChunksBroken {
                    session: sighting.session.clone(),
                    key: sighting.key.clone(),
                    chunk,
                    previous,
                });
            }
        }
        found
    }

    fn n_repeats(&self) -> usize {
        let keys: BTreeSet<_> = self.all.iter().map(|sighting| &sighting.key).collect();
        self.all.len() - keys.len()
    }
}

fn continues(text: &str) -> bool {
    chunk(text).is_some_and(|(i, _)| i > 1)
}

/// `(2, 3)` for a text that starts with `(2/3)`.
fn chunk(text: &str) -> Option<(u32, u32)> {
    let (header, _) = text.strip_prefix('(')?.split_once(')')?;
    let (i, n) = header.split_once('/')?;
    let (i, n) = (i.parse().ok()?, n.parse().ok()?);
    (1 <= i && i <= n).then_some((i, n))
}
