//! Maps of what a network looks at: on a GPU, or the emulated one, as on the CPU.

use crate::cuda::gpu;
use kamacite::introspect::{Gradient, Occlusion, Score, Smooth, activations, grad_cam, occlusion, saliency, smooth_grad};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// Every map of two samples.
fn maps(device: &Device) -> Result<Vec<Vec<f32>>> {
    let extent = Extent::cube(4, 6, 6, 2);
    let mut net = Network::new(extent);
    let conv = net.push(Conv::new(4, 3).pad(1).act(Relu));
    net.push(Pool::max(2));
    let hidden = net.push(Dense::new(6).act(Tanh));
    net.push(Dense::new(3).act(Softmax));
    let mut model = Model::builder(net).seed(3).device(device.clone()).build()?;
    let mut r = Stream::new(4, Purpose::User, 0);
    let x: Vec<f32> = (0..2 * extent.len()).map(|_| r.normal() as f32).collect();
    let (view, score) = (View::new(extent, &x)?, Score::each(&[2, 0]));
    Ok(vec![
        activations(&mut model, view, conv)?.into_values(),
        saliency(&mut model, view, &score, Gradient::TimesInput)?.remove(0).into_values(),
        saliency(&mut model, view, &Score::channel(5).of(hidden), Gradient::Plain)?.remove(0).into_values(),
        smooth_grad(&mut model, view, &score, Gradient::Plain, &Smooth { draws: 2, noise: 0.1, seed: 5 })?
            .remove(0)
            .into_values(),
        grad_cam(&mut model, view, &score, conv)?.into_values(),
        occlusion(&mut model, view, &score, &Occlusion::new([2, 3, 3]))?.into_values(),
    ])
}

#[test]
fn maps_on_cuda_are_those_of_the_cpu() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    for (k, (cpu, cuda)) in maps(&Device::cpu())?.iter().zip(maps(&gpu.device)?).enumerate() {
        // Sums of at most 216 products in another order: √216·ε of the largest value, a few times over in the layers behind one another.
        let largest = cpu.iter().map(|v| v.abs()).fold(0.0, f32::max);
        let most = 100.0 * f32::EPSILON * largest;
        assert!(largest > 0.0 && cpu.len() == cuda.len());
        for (i, (a, b)) in cpu.iter().zip(&cuda).enumerate() {
            assert!((a - b).abs() <= most, "map {k}, value {i}: {a} on the CPU, {b} on {}, at most {most} apart", gpu.device);
        }
    }
    Ok(())
}
