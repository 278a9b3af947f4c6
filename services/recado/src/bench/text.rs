//! How fast an answer is made fit for a channel: a megabyte of mixed text, and of the texts that a
//! careless splitter or parser takes minutes for.

use std::hint::black_box;
use std::time::Instant;

use recado_text::{markdown, split};
use recado_types::trigger::{ChunkStrategy, SplitConfig};

use super::report::{Figure, Findings, Goal};

const MEGABYTE: usize = 1_000_000;
const UNIT: &str = "MB/s";

/// What is asked for, of mixed text.
const LEAST_MB_PER_SECOND: f64 = 50.0;

/// The best of so many: whatever else the machine does, it only makes it slower.
const RUNS: usize = 5;

/// An answer as models write them.
const ANSWER: &str = "\
# Resumo do pedido

Olá! Aqui está o **resumo** do seu pedido nº 4.711, feito em 12/03. O total é R$ 1.500,00 (com 10% \
de desconto). Veja https://example.com/pedidos/4711?ref=wa para acompanhar, ou fale com o Dr. \
Silva… Até já! 👍🏽

* item um, de `code_here`
* item dois, com um [link para o site](https://example.com/a_b_c)

```rust
let total = itens.iter().map(|item| item.preco * item.quantidade).sum();
```

| Item | Preço |
|---|---|
| Um | 1,00 |
| Dois | 2,00 |

你好。世界！好吗？这是一个很长的句子，没有空格。

";

/// Measures, in this process.
pub(super) fn measure() -> Findings {
    let mixed = repeated(ANSWER);
    let mut figures = Vec::new();
    for (name, strategy) in [
        ("text, split by paragraph", ChunkStrategy::Paragraph),
        ("text, split by sentence", ChunkStrategy::Sentence),
        ("text, split by length", ChunkStrategy::Length),
    ] {
        let rate = rate(&mixed, |text| split::split(text, &in_chunks(strategy)));
        figures.push(Figure::new(name, rate, UNIT).goal(Goal::ValueAtLeast(LEAST_MB_PER_SECOND)));
    }
    let strip = rate(&mixed, markdown::strip);
    figures.push(Figure::new("text, Markdown taken out", strip, UNIT));
    let rewritten = rate(&mixed, markdown::to_whatsapp);
    figures.push(Figure::new("text, Markdown for WhatsApp", rewritten, UNIT));
    let hostile = hostile();
    let slowest = |rate_of: &dyn Fn(&str) -> f64| {
        hostile.iter().map(|text| rate_of(text)).fold(f64::INFINITY, f64::min)
    };
    let by_paragraph = in_chunks(ChunkStrategy::Paragraph);
    let split = slowest(&|text| rate(text, |text| split::split(text, &by_paragraph)));
    figures.push(Figure::new("hostile text, split by paragraph, slowest", split, UNIT));
    let strip = slowest(&|text| rate(text, markdown::strip));
    figures.push(Figure::new("hostile text, Markdown taken out, slowest", strip, UNIT));
    Findings { figures, ..Findings::default() }
}

/// The default size, and as many chunks as it takes: with fewer, most of the text would not be
/// looked at.
fn in_chunks(strategy: ChunkStrategy) -> SplitConfig {
    SplitConfig {
        max_chunk_size: 1_500,
        max_chunks: u32::MAX,
        strategy,
        numbering: true,
        inter_chunk_delay_ms: 0,
    }
}

fn hostile() -> Vec<String> {
    let mut texts: Vec<String> = [
        "a",
        "e\u{301}\u{302}",
        "https://x.y/ ",
        "```\na\n```\n",
        "```\n",
        "。",
        ". ",
        "[",
        "](",
        "*a ",
        "> ",
        "- ",
        "<a ",
        "_a_",
        "🇧🇷",
    ]
    .map(repeated)
    .into();
    texts.push("e".to_owned() + &repeated("\u{301}"));
    texts.push("```\n".to_owned() + &repeated("a\n") + &repeated(" ") + "\n```");
    texts
}

fn repeated(unit: &str) -> String {
    unit.repeat(MEGABYTE / unit.len())
}

/// Megabytes per second.
fn rate<T>(text: &str, work: impl Fn(&str) -> T) -> f64 {
    let megabytes = super::count(text.len()) / super::count(MEGABYTE);
    let run = |_| {
        let started = Instant::now();
        black_box(work(black_box(text)));
        megabytes / started.elapsed().as_secs_f64()
    };
    (0..RUNS).map(run).fold(0.0, f64::max)
}
