//! What is new in a mail: without what it quotes, and without a signature.
//!
//! Mail programs mark quotations in many ways and in the language of their user. What they mark in
//! none of the known ways stays. Line by line; of a line only the beginning is looked at.

/// How much of a line may tell what it is, in characters.
const MAX_LOOK: usize = 300;
/// How many lines the sentence before a quotation takes, and a header that stands before one.
const MAX_ATTRIBUTION: usize = 4;
const MAX_HEADER: usize = 7;

/// What is new in `text`; all of it, if nothing would be left.
pub(crate) fn new_part(text: &str) -> String {
    let new = cut(text);
    let new = new.trim();
    if new.is_empty() { text.trim().to_owned() } else { new.to_owned() }
}

fn cut(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let mut new: Vec<&str> = Vec::new();
    let (mut at, mut is_after_quote) = (0, false);
    while at < lines.len() {
        let line = lines[at];
        let look = look(line);
        if is_forward(&look) {
            // What is forwarded is what the mail is about.
            new.extend(&lines[at..]);
            break;
        }
        if is_signature(line) || is_separator(&look) || is_header(&lines[at..]) {
            break;
        }
        let attribution = attribution(&lines[at..]).map(|(length, is_sure)| {
            (length, is_sure, is_quoted(next_said(&lines[at + length..])))
        });
        if let Some((_, true, false)) = attribution {
            break;
        }
        if let Some((length, _, true)) = attribution {
            at += length;
            is_after_quote = true;
        } else {
            at += 1;
            let is_blank = |line: &str| line.trim().is_empty();
            if is_quoted(line) {
                is_after_quote = true;
            } else if !(is_after_quote
                && is_blank(line)
                && new.last().is_none_or(|it| is_blank(it)))
            {
                // What stood around a quotation is one gap.
                is_after_quote &= is_blank(line);
                new.push(line);
            }
        }
    }
    new.join("\n")
}

/// The beginning of a line in lower case, without the stars that make it bold.
fn look(line: &str) -> String {
    let begin: String = line.trim().chars().take(MAX_LOOK).collect();
    begin.replace('*', "").trim().to_lowercase()
}

fn is_quoted(line: &str) -> bool {
    line.trim_start().starts_with('>')
}

fn next_said<'a>(lines: &[&'a str]) -> &'a str {
    lines.iter().find(|line| !line.trim().is_empty()).copied().unwrap_or_default()
}

/// Two dashes alone; the space after them is often lost.
fn is_signature(line: &str) -> bool {
    matches!(line.trim_end_matches('\r'), "-- " | "--")
}

fn is_forward(look: &str) -> bool {
    let said = look.trim_matches(|char: char| char == '-' || char.is_whitespace() || char == ':');
    (look.starts_with("---") || look.ends_with(':')) && FORWARDS.contains(&said)
}

/// `-----Original Message-----`
fn is_separator(look: &str) -> bool {
    let said = look.trim_matches(|char: char| char == '-' || char.is_whitespace());
    look.starts_with("--") && look.ends_with("--") && ORIGINALS.contains(&said)
}

/// A header in front of a quotation, as Outlook writes it, with or without a line above it.
fn is_header(lines: &[&str]) -> bool {
    let begin = look(lines[0]);
    let is_rule = begin.len() >= 10 && begin.chars().all(|char| char == '_');
    let lines = if is_rule { &lines[1..] } else { lines };
    let mut said = lines.iter().take(MAX_HEADER).map(|line| look(line));
    let mut said = said.by_ref().skip_while(|line| is_rule && line.is_empty());
    if !said.next().is_some_and(|line| begins_with_label(&line, &FROM)) {
        return false;
    }
    let (mut has_date, mut has_more) = (false, false);
    for line in said {
        has_date |= begins_with_label(&line, &DATE);
        has_more |= begins_with_label(&line, &TO_OR_SUBJECT);
    }
    has_date && has_more
}

fn begins_with_label(look: &str, labels: &[&str]) -> bool {
    let Some((label, _)) = look.split_once(':') else { return false };
    labels.contains(&label.trim())
}

/// How many lines the sentence takes that these begin with, if it is one like "On Monday, Ana
/// wrote:"; and whether a mail program has written it even if what follows has no marks.
fn attribution(lines: &[&str]) -> Option<(usize, bool)> {
    let begin = look(lines[0]);
    if !OPENINGS.iter().any(|opening| begin.starts_with(opening)) {
        return None;
    }
    let mut sentence = String::new();
    for (index, line) in lines.iter().take(MAX_ATTRIBUTION).enumerate() {
        let line = look(line);
        if line.is_empty() {
            return None;
        }
        sentence.push_str(&line);
        if line.ends_with(':') {
            let is_said = WROTE.iter().any(|wrote| sentence.contains(wrote));
            let has_digit = sentence.contains(|char: char| char.is_ascii_digit());
            let is_sure = sentence.contains('@') || has_time(&sentence);
            return (is_said && (is_sure || has_digit)).then_some((index + 1, is_sure));
        }
        sentence.push(' ');
    }
    None
}

/// Whether there is something like `10:00`.
fn has_time(sentence: &str) -> bool {
    let is_time =
        |three: &[u8]| three[0].is_ascii_digit() && three[1] == b':' && three[2].is_ascii_digit();
    sentence.as_bytes().windows(3).any(is_time)
}

const OPENINGS: [&str; 7] = ["on ", "em ", "no dia ", "el ", "am ", "le ", "a "];
const WROTE: [&str; 6] = ["wrote:", "escreveu:", "escribió:", "escribio:", "schrieb", "a écrit"];
const ORIGINALS: [&str; 8] = [
    "original message",
    "mensagem original",
    "mensaje original",
    "ursprüngliche nachricht",
    "originalnachricht",
    "original-nachricht",
    "message d'origine",
    "message original",
];
const FORWARDS: [&str; 8] = [
    "forwarded message",
    "begin forwarded message",
    "mensagem encaminhada",
    "mensaje reenviado",
    "weitergeleitete nachricht",
    "message transféré",
    "forwarded by",
    "mensagem reencaminhada",
];
const FROM: [&str; 3] = ["from", "de", "von"];
const DATE: [&str; 13] = [
    "sent",
    "date",
    "enviado",
    "enviada",
    "enviado em",
    "enviada em",
    "enviado el",
    "data",
    "fecha",
    "gesendet",
    "datum",
    "envoyé",
    "date d'envoi",
];
const TO_OR_SUBJECT: [&str; 9] =
    ["to", "para", "an", "à", "subject", "assunto", "asunto", "betreff", "objet"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_cut() {
        for quoted in [
            "> old\n> older",
            "On Mon, 4 Mar 2024 at 10:00, Ana <a@b.example> wrote:\n\n> old",
            "On Mon, 4 Mar 2024 at 10:00, Ana Maria da Silva\n<a@b.example>\nwrote:\n> old",
            "On 4 Mar 2024, at 10:00, Ana wrote:\nold, without marks",
            "Em seg., 4 de mar. de 2024 às 10:00, Ana <a@b.example> escreveu:\n\n> old",
            "El lun, 4 mar 2024 a las 10:00, Ana (<a@b.example>) escribió:\n\n> old",
            "Am 04.03.2024 um 10:00 schrieb Ana:\n> old",
            "Am Mo., 4. März 2024 um 10:00 Uhr schrieb Ana <a@b.example>:\n\n> old",
            "Le lun. 4 mars 2024 à 10:00, Ana <a@b.example> a écrit :\n\n> old",
            "-----Original Message-----\nFrom: Ana\n\nold",
            "-----Mensagem original-----\nold",
            "-------- Ursprüngliche Nachricht --------\nold",
            "________________________________\nFrom: Ana <a@b>\nSent: Monday\nTo: B\nSubject: c\n\nold",
            "From: Ana <a@b>\nSent: Monday\nTo: B\nSubject: c\n\nold",
            "*De:* Ana\n*Enviada em:* segunda-feira\n*Para:* B\n*Assunto:* c\n\nold",
            "Von: Ana\nGesendet: Montag\nAn: B\nBetreff: c\nold",
            "De : Ana\nEnvoyé : lundi\nÀ : B\nObjet : c\nold",
            "-- \nAna\nAcme",
            "--\nAna",
        ] {
            assert_eq!(new_part(&format!("New.\n\n{quoted}\n")), "New.", "{quoted}");
            assert_eq!(new_part(&format!("New.\r\n{}", quoted.replace('\n', "\r\n"))), "New.");
        }
    }

    #[test]
    fn answers_between_quotations_stay() {
        let text = "On 1 May, Ana <a@b> wrote:\n> one?\nYes.\n> two?\nNo.\n-- \nB";
        assert_eq!(new_part(text), "Yes.\nNo.");
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for text in [
            "On 1 May I wrote to you.\nFrom: Rio\nTo: Recife",
            "Em 2024 escreveu-se muito.",
            "a -> b\n--- c ---\n---\nx",
            "On Monday:\n- a",
            "Am 4. März schrieb ich Ihnen:\nWo bleibt es?",
            "On page 3 you wrote:\nthat it is so.",
            "de: nada",
            "---------- Forwarded message ---------\nFrom: A <a@b>\nDate: 1 May\nTo: B\nSubject: c\n\n> d",
            "Look:\n\nBegin forwarded message:\n\nFrom: A\nDate: x\nSubject: y\n\nz",
        ] {
            assert_eq!(new_part(text), text);
        }
    }

    #[test]
    fn nothing_is_not_left() {
        for text in ["> only quoted", "-- \nonly a signature", "On 1 May, A wrote:\n> x"] {
            assert_eq!(new_part(text), text);
        }
        assert_eq!(new_part(" \n"), "");
    }
}
