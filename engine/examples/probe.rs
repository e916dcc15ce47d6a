use bitgauge_engine::*;
use std::time::Instant;
fn main() {
    let t = Instant::now();
    let mut c = synthetic::shape("2b4t").unwrap();
    c.num_hidden_layers = 2;
    let s = synthetic::model(c, 1);
    let m = model::Model::load(&s, &model::Best).unwrap();
    println!("load {:?} {:?}", t.elapsed(), kernels::Kernel::best());
    for n in [1, 2, 3] {
        let pool = threads::Pool::with_min_piece(n, 0).unwrap();
        let mut s = session::Session::new(&m, &pool, 100).unwrap();
        let l = s.prefill(&[1, 2, 3, 4, 5]).unwrap();
        println!(
            "{n} {:?} {}",
            &l[..3],
            l.iter().map(|l| l.to_bits() as u64).sum::<u64>()
        );
        s.truncate(0);
        let mut l2 = vec![];
        for i in 1..=5 {
            l2 = s.decode(i).unwrap().to_vec();
        }
        println!(
            "{n} {:?} {}",
            &l2[..3],
            l2.iter().map(|l| l.to_bits() as u64).sum::<u64>()
        );
        let t = Instant::now();
        s.decode(7).unwrap();
        println!("{:?}", t.elapsed());
        struct P(Instant, Vec<(session::Part, f64)>);
        impl session::Observer for P {
            fn done(&mut self, p: session::Part) {
                let e = self.0.elapsed().as_secs_f64() * 1e6;
                self.0 = Instant::now();
                match self.1.iter_mut().find(|x| x.0 == p) {
                    Some(x) => x.1 += e,
                    None => self.1.push((p, e)),
                }
            }
        }
        let mut p = P(Instant::now(), vec![]);
        s.decode_observed(8, &mut p).unwrap();
        println!("{:?}", p.1);
    }
}
