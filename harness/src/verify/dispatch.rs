//! Which kernel runs: detection by whole feature sets, and no scalar fallback.

use bitgauge_engine::isa::Isa;
use bitgauge_engine::kernels::Kernel;
use bitgauge_engine::model::{Dispatch, Model};
use bitgauge_engine::synthetic;

use super::check::{Book, Check, Differences, guarded};

/// Says whether code of a level may run on a machine with the features that the predicate knows.
pub type Detect<'a> = &'a dyn Fn(Isa, &dyn Fn(&str) -> bool) -> bool;

/// The engine's own detection.
pub fn engine_detection(isa: Isa, has: &dyn Fn(&str) -> bool) -> bool {
    isa.check_on(has).is_ok()
}

/// Every level is refused when any one of its features is masked, and granted when none is.
pub fn judge_detection(detect: Detect<'_>, book: &mut Book<'_>) {
    let mut differences = Differences::default();
    for isa in Isa::ALL {
        let all = isa.features();
        differences.expect(detect(isa, &|f| all.contains(&f)), || {
            format!("{isa} is refused on a machine with all of its features")
        });
        for masked in all {
            let has = |f: &str| f != *masked && all.contains(&f);
            differences.expect(!detect(isa, &has), || {
                format!("{isa} is granted without {masked}")
            });
        }
        differences.expect(all.is_empty() || !detect(isa, &|_| false), || {
            format!("{isa} is granted to a machine without any feature")
        });
    }
    book.record(differences.check("isa/whole-feature-sets"));
}

/// With `dispatch`, no linear runs portable code on a machine that could do better.
pub fn judge_dispatch(dispatch: &dyn Dispatch, book: &mut Book<'_>) {
    let id = "dispatch/fallbacks";
    if Isa::highest() == Isa::Portable {
        let why = "no vector level may be used here, so there is nothing to fall back from";
        book.record(Check::skipped(id, why));
        return;
    }
    let model = match load(dispatch) {
        Ok(model) => model,
        Err(why) => return book.record(Check::broken(id, why)),
    };
    // Counted here, and not by the engine whose report of itself is judged too.
    let portable = model
        .kernels()
        .filter(|(_, _, kernel)| kernel.spec().isa() == Isa::Portable);
    let fallbacks = portable.count();
    let linears = model.kernels().count();
    let mut names: Vec<_> = model.kernels().map(|(_, _, k)| k.spec().name()).collect();
    names.dedup();
    let kernels = format!("{linears} linears run {}", names.join(", "));
    book.record(Check::none_wrong(id, fallbacks, linears).note(kernels));
}

/// The engine counts fallbacks rightly where every linear is one.
pub fn judge_report(book: &mut Book<'_>) {
    let id = "dispatch/reported-fallbacks";
    let Ok(naive) = Kernel::by_name("naive") else {
        return book.record(Check::broken(id, "the table has no kernel called naive"));
    };
    let expected = |linears| match Isa::highest() {
        Isa::Portable => 0,
        _ => linears,
    };
    let check = match load(&naive) {
        Ok(model) => {
            let mut reported = Differences::default();
            let linears = model.kernels().count();
            reported.add(&[model.fallbacks()], &[expected(linears)], |_| {
                "fallbacks of a model that runs naive".into()
            });
            reported.check(id)
        }
        Err(why) => Check::broken(id, why),
    };
    book.record(check);
}

fn load(dispatch: &dyn Dispatch) -> Result<Model, String> {
    let shape = synthetic::shape("tiny").ok_or("no shape called tiny")?;
    guarded(|| Model::load(&synthetic::model(shape, 1), dispatch).map_err(|e| e.to_string()))
        .and_then(|loaded| loaded)
}
