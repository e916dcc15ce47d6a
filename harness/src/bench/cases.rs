//! The work of a test, judged on the model that is timed. That the kernel's sums are the oracle's is
//! judged before ([`crate::decoder::judge`]); here, that the way which is timed gives what the other
//! way through the engine gives: batches what single tokens give, and greedy tokens what all logits
//! of a batch say.

use bitgauge_engine::model::Model;
use bitgauge_engine::session::{BATCH, Session};
use bitgauge_engine::threads::Scheduler;
use bitgauge_engine::{Error, Token};

use crate::decoder::cases::{Attempt, Case, token};
use crate::decoder::judge::largest;
use crate::exit::{Exit, Failure};
use crate::measure::{Answer, Tolerance, Verified};

/// Tokens of a prompt that are judged: a whole batch, and one beyond.
const JUDGED_PROMPT: usize = BATCH + 1;

/// Generated tokens that are judged.
const JUDGED_TOKENS: usize = 8;

/// A session that has read `depth` tokens, with room for `more`.
fn behind<'m>(
    model: &'m Model,
    scheduler: &'m dyn Scheduler,
    depth: usize,
    more: usize,
) -> Result<Session<'m>, Error> {
    let mut session = Session::new(model, scheduler, depth + more)?;
    if depth > 0 {
        session.prefill(&(0..depth).map(|i| token(model, i)).collect::<Vec<_>>())?;
    }
    Ok(session)
}

/// Reading a prompt, batch by batch; the logits of its last token.
pub struct Reading<'m> {
    session: Session<'m>,
    depth: usize,
    prompt: Vec<Token>,
}

impl<'m> Reading<'m> {
    /// A prompt of `length` tokens behind `depth` others.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        depth: usize,
        length: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            session: behind(model, scheduler, depth, length)?,
            depth,
            prompt: (depth..depth + length).map(|i| token(model, i)).collect(),
        })
    }

    /// Reads its first tokens in both ways, and then the whole once, to warm up.
    pub fn judged(mut self) -> Result<Verified<Case<Self>>, Failure> {
        let judged = &self.prompt[..self.prompt.len().min(JUDGED_PROMPT)];
        self.session.truncate(self.depth);
        let batched = Answer::from_f32(self.session.prefill(judged)?);
        self.session.truncate(self.depth);
        let mut single = Vec::new();
        for &token in judged {
            single = self.session.decode(token)?.to_vec();
        }
        let single = Answer::from_f32(&single);
        let what = format!("logits after a prompt of {}", judged.len());
        self.attempt()?;
        check(self, &batched, &single, &what)
    }
}

impl Attempt for Reading<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.session.truncate(self.depth);
        self.session.prefill(&self.prompt).map(drop)
    }
}

/// Generating tokens one at a time, each the one with the largest logit.
pub struct Greedy<'m> {
    session: Session<'m>,
    depth: usize,
    first: Token,
    length: usize,
}

impl<'m> Greedy<'m> {
    /// A generation of `length` tokens behind `depth` others.
    pub fn new(
        model: &'m Model,
        scheduler: &'m dyn Scheduler,
        depth: usize,
        length: usize,
    ) -> Result<Self, Error> {
        Ok(Self {
            session: behind(model, scheduler, depth, length)?,
            depth,
            first: token(model, depth),
            length,
        })
    }

    /// Generates `length` tokens, giving each to `each`.
    fn generate(&mut self, length: usize, mut each: impl FnMut(Token)) -> Result<(), Error> {
        self.session.truncate(self.depth);
        let mut next = self.first;
        for _ in 0..length {
            next = self.session.decode_greedy(next)?.token;
            each(next);
        }
        Ok(())
    }

    /// Generates a few tokens and holds them against the largest logits of the same text read at
    /// once; then generates them again, to warm up.
    pub fn judged(mut self) -> Result<Verified<Case<Self>>, Failure> {
        let length = self.length.min(JUDGED_TOKENS);
        let mut tokens = Vec::new();
        self.generate(length, |token| tokens.push(token))?;
        let text: Vec<Token> = [&[self.first], &tokens[..length - 1]].concat();
        let mut likeliest = Vec::new();
        self.session.truncate(self.depth);
        self.session
            .prefill_each(&text, &mut |_, logits| likeliest.push(largest(logits)))?;
        let answer = |tokens: &mut dyn Iterator<Item = i32>| Answer::Integers(tokens.collect());
        let got = answer(&mut tokens.iter().map(|t| *t as i32));
        let want = answer(&mut likeliest.iter().map(|t| *t as i32));
        self.generate(length, drop)?;
        check(self, &got, &want, &format!("{length} greedy tokens"))
    }
}

impl Attempt for Greedy<'_> {
    fn attempt(&mut self) -> Result<(), Error> {
        self.generate(self.length, drop)
    }
}

fn check<A>(
    case: A,
    got: &Answer,
    want: &Answer,
    what: &str,
) -> Result<Verified<Case<A>>, Failure> {
    Verified::check(Case(case), got, want, Tolerance::Exact).map_err(|wrong| Failure {
        exit: Exit::WrongAnswers,
        message: format!("{what}: {}", wrong.reason()),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bitgauge_engine::kernels::Kernel;
    use bitgauge_engine::model::Vocabulary;
    use bitgauge_engine::synthetic;
    use bitgauge_engine::threads::{Task, Work};

    use super::*;

    /// Loses all results of works whose items have this width: a product's items are as wide as its
    /// batch.
    struct Loses(usize);

    impl Scheduler for Loses {
        fn name(&self) -> &'static str {
            "loses"
        }

        fn threads(&self) -> usize {
            1
        }

        fn run(&self, work: Work<'_>, task: &Task<'_>) {
            let items = work.items();
            task(0..items, work.out);
            if work.width == self.0 {
                work.out.fill(0.0);
            }
        }
    }

    fn tiny() -> Model {
        let source = synthetic::model(synthetic::shape("tiny").unwrap(), 1);
        let vocabulary = Vocabulary::load(&source).unwrap().with_quantized_head();
        Model::with_vocabulary(&source, &Kernel::best(), Arc::new(vocabulary)).unwrap()
    }

    #[test]
    fn a_prompt_is_timed_only_where_batches_give_what_single_tokens_give() {
        let model = tiny();
        let judged = |width, length| -> Result<(), Failure> {
            Reading::new(&model, &Loses(width), 1, length)?
                .judged()
                .map(drop)
        };
        for length in [1, 7, BATCH, 2 * BATCH + 3] {
            assert!(judged(0, length).is_ok(), "{length}");
        }
        let Err(failure) = judged(BATCH, BATCH) else {
            panic!("a wrong batch was let through");
        };
        assert_eq!(failure.exit, Exit::WrongAnswers, "{failure}");
    }

    #[test]
    fn tokens_are_timed_only_where_all_logits_say_the_same() {
        let model = tiny();
        let judged = |width, length| -> Result<(), Failure> {
            Greedy::new(&model, &Loses(width), 1, length)?
                .judged()
                .map(drop)
        };
        for length in [1, 20] {
            assert!(judged(0, length).is_ok(), "{length}");
        }
        let Err(failure) = judged(JUDGED_TOKENS, 20) else {
            panic!("wrong tokens were let through");
        };
        assert_eq!(failure.exit, Exit::WrongAnswers, "{failure}");
    }
}
