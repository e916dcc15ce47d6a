use bitgauge::measure::*;
use bitgauge::measure::stats::Rules;
struct Loop { n: u64, x: u64 }
impl Timed for Loop { fn iterate(&mut self, it: u64) { for _ in 0..it { let mut x=self.x; for _ in 0..self.n { x^=x<<13; x^=x>>7; x^=x<<17; } self.x=std::hint::black_box(x);} } }
fn v(n:u64)->Verified<Loop>{ let a=Answer::Integers(vec![1]); Verified::check(Loop{n,x:88172645463325252},&a,&a,Tolerance::Exact).unwrap() }
fn main(){
    let arg: Vec<f64> = std::env::args().skip(1).map(|a|a.parse().unwrap()).collect();
    let (effect, margin, units)=(arg[0],arg[1],arg[2] as usize);
    for (us,blocks) in [(10u64,16usize),(33,16),(33,32),(100,16),(33,64)] {
    let base=us*600; let more=(base as f64*(1.0+effect)) as u64;
    let pace=Pace{slice:std::time::Duration::ZERO,placement:std::time::Duration::from_secs(1),blocks};
    let mut all=vec![]; let t0=std::time::Instant::now();
    for r in 0..units { let mut t=Trial::new(Rules::new(margin,0.001,0.95).unwrap(),pace,r as u64);
        let (mut a,mut b)=(v(base),v(more));
        t.place(Entrant::new("a",&mut a),Entrant::new("b",&mut b)).unwrap();
        all.push(t.placements()[0].blocks.clone()); }
    let el=t0.elapsed().as_secs_f64()/units as f64;
    let side=|b:&trial::Block,after:bool|{ let n=b.ns; if after==b.after_outside {[n[0],n[3]]} else {[n[1],n[2]]}};
    print!("{us}us x{blocks} {:.2} ms/unit: ", el*1e3);
    for q in [0.0,0.1,0.25,0.5] {
        let mut hits=0; let mut rs=vec![];
        for bl in &all { let f=|after| { let mut v:Vec<u64>=bl.iter().flat_map(|b|side(b,after)).collect(); v.sort(); (v[(q*(v.len()-1) as f64).round() as usize] as f64).ln()}; let r=f(false)-f(true); rs.push(r); if r < -(margin.ln_1p()) {hits+=1;} }
        rs.sort_by(f64::total_cmp); let n=rs.len();
        print!("q{q}: {:.3} [{:.5} {:.5} {:.5}] ", hits as f64/all.len() as f64, rs[n/10],rs[n/2],rs[n*9/10]);
    }
    let mut hits=0; for bl in &all { let mut r:Vec<f64>=bl.iter().map(|b|{let (x,y)=(side(b,false),side(b,true)); 0.5*((x[0] as f64).ln()+(x[1] as f64).ln()-(y[0] as f64).ln()-(y[1] as f64).ln())}).collect(); r.sort_by(f64::total_cmp); let m=0.5*(r[(r.len()-1)/2]+r[r.len()/2]); if m < -(margin.ln_1p()) {hits+=1;} }
    println!("blockmed {:.3}", hits as f64/all.len() as f64);
    }
}
