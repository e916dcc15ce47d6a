use bitgauge::measure::*;
use bitgauge::measure::stats::Rules;
use std::time::*;
struct Loop { n: u64, x: u64 }
impl Timed for Loop { fn iterate(&mut self, it: u64) { for _ in 0..it { let mut x=self.x; for _ in 0..self.n { x^=x<<13; x^=x>>7; x^=x<<17; } self.x=std::hint::black_box(x);} } }
fn v(n:u64)->Verified<Loop>{ let a=Answer::Integers(vec![1]); Verified::check(Loop{n,x:88172645463325252},&a,&a,Tolerance::Exact).unwrap() }
fn main(){
    let arg: Vec<f64> = std::env::args().skip(1).map(|a|a.parse().unwrap()).collect();
    let (effect, margin, max, runs)=(arg[0],arg[1],arg[2],arg[3] as usize);
    let base=20000u64; let more=(base as f64*(1.0+effect)) as u64;
    let rules=Rules::new(margin,0.001,0.95).unwrap();
    let mut counts=std::collections::BTreeMap::new(); let mut times=vec![]; let mut units=vec![];
    for r in 0..runs { 
        let mut t=Trial::new(rules,Pace::FUNCTIONS,r as u64);
        let start=Instant::now();
        while start.elapsed().as_secs_f64()<max {
            let (mut a,mut b)=(v(base),v(more));
            if t.place(Entrant::new("a",&mut a),Entrant::new("b",&mut b)).unwrap()!=stats::Verdict::Unclear {break;}
        }
        *counts.entry(t.verdict().to_string()).or_insert(0)+=1; times.push(start.elapsed().as_secs_f64()); units.push(t.placements().len());
    }
    times.sort_by(f64::total_cmp); units.sort();
    println!("{counts:?} time median {:.3} p99 {:.3} max {:.3}; units {} {} {}",times[runs/2],times[runs*99/100],times[runs-1],units[runs/2],units[runs*99/100],units[runs-1]);
}
