//! Cases of `SoftmaxCrossEntropy`.

use super::softmax;
use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::loss::SoftmaxCrossEntropy;
use kamacite::*;

/// −Σ v_k·q_k·ln p_k per position, averaged; targets are labels where there is one per position.
fn naive(c: usize, smoothing: f64, v: Option<[f64; 4]>) -> impl Fn(&[f64], &[f64]) -> f64 {
    move |y, t| {
        let (p, positions) = (softmax(y, c), y.len() / c);
        let mut sum = 0.0;
        for i in 0..positions {
            for k in 0..c {
                let hot = if t.len() == positions { f64::from(u8::from(t[i] as usize == k)) } else { t[i * c + k] };
                let q = (1.0 - smoothing) * hot + smoothing / c as f64;
                sum -= v.map_or(1.0, |v| v[k]) * q * p[i * c + k].ln();
            }
        }
        sum / positions as f64
    }
}

fn cases() -> Vec<LossCase> {
    let (loss, image) = (SoftmaxCrossEntropy, Extent::image(2, 3, 4));
    let v = [0.5, 1.0, 2.0, 3.0];
    let list = vec![
        loss_case("labels", loss.clone(), Extent::flat(5), naive(5, 0.0, None)).classes(5),
        loss_case("labels", loss.clone(), Extent::flat(1000), naive(1000, 0.0, None)).classes(1000),
        loss_case("labels of a map", loss.clone(), image, naive(4, 0.0, None)).classes(4),
        loss_case("one-hot", loss.clone(), Extent::flat(5), naive(5, 0.0, None)).classes(5).one_hot(),
        loss_case("one-hot map", loss.clone(), image, naive(4, 0.0, None)).classes(4).one_hot(),
        loss_case("soft", loss.clone(), Extent::flat(6), naive(6, 0.0, None)).soft(),
        loss_case("smoothed labels", loss.clone().label_smoothing(0.1), Extent::flat(4), naive(4, 0.1, None)).classes(4),
        loss_case("smoothed soft", loss.clone().label_smoothing(0.2), image, naive(4, 0.2, None)).soft(),
        loss_case("weighted labels", loss.clone().class_weights(&v), Extent::flat(4), naive(4, 0.0, Some(v))).classes(4),
        loss_case("weighted soft map", loss.clone().class_weights(&v), image, naive(4, 0.0, Some(v))).soft(),
        loss_case("all at once", loss.class_weights(&v).label_smoothing(0.3), image, naive(4, 0.3, Some(v))).classes(4),
    ];
    list.into_iter()
        .map(|case| {
            let c = case.channels();
            case.prediction(move |y| softmax(y, c))
        })
        .collect()
}

loss_suite!();

/// Large logits neither overflow nor lose the value: y = (1000, 0), class 1, ℓ = 1000.
#[test]
fn large_logits() -> Result<()> {
    let y = Extent::flat(2);
    let mut net = Network::new(y);
    net.push(Activate::new(Linear));
    let mut model = Model::builder(net).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
    model.forward(Mode::Train, View::new(y, &[1000.0, 0.0])?)?;
    assert_eq!(model.loss(&[Targets::Classes(&[1])])?, 1000.0);
    assert_eq!(model.backward(Seed::Loss, Grads::Write)?.row(0)?, [1.0, -1.0]);
    model.forward(Mode::Train, View::new(y, &[1000.0, 0.0])?)?;
    let e = model.loss(&[Targets::Classes(&[2])]).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Value, "{e}");
    Ok(())
}
