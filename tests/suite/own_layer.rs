//! A layer and its `.cu` file from outside of the crate: the one of `examples/own_layer.rs`, through the same checks as the crate's
//! own, and trained on a GPU or the emulator.

use crate::case::{Batch, Case, case};
use crate::cuda::gpu;
use kamacite::data::Samples;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

#[path = "../../examples/asinh/mod.rs"]
mod asinh;
use asinh::Asinh;

fn cases() -> Vec<Case> {
    let naive = |layer: Asinh, x: Extent| {
        case(format!("asinh on {x}"), layer).x(x).naive(|g| {
            let s = g.array("log_scale");
            Batch::from_fn(g.x().rows, g.x().extent, |i| (s[i[4]].exp() * g.x()[i]).asinh())
        })
    };
    vec![naive(Asinh { scale: 1.0 }, Extent::image(5, 4, 3)), naive(Asinh { scale: 3.0 }, Extent::flat(300)).rows(5)]
}

#[test]
fn the_layer_is_right_on_the_cpu() {
    crate::check::all(&cases(), crate::check::forward);
    crate::check::all(&cases(), crate::gradient::gradients);
    crate::check::all(&cases(), crate::gradient::corrupted);
}

#[test]
fn the_layer_is_accurate_on_cuda_in_every_precision() {
    crate::check::all(&cases(), crate::cuda::cuda);
}

/// It trains between layers of the crate, and its parameter moves as on the CPU.
#[test]
fn the_layer_trains_on_cuda_as_on_the_cpu() {
    let Some(gpu) = gpu() else { return };
    let run = |device: &Device| {
        let mut r = Stream::new(3, Purpose::Synth, 0);
        let x: Vec<f32> = (0..90 * 6).map(|i| (10_f64.powf(r.between(-1.0, 2.0)) + f64::from(i / 6 % 3)) as f32).collect();
        let data = Samples::new(Extent::line(1, 6), x).and_then(|s| s.with_classes((0..90).map(|i| i % 3).collect(), 3));
        let mut net = Network::new(Extent::line(1, 6));
        net.push(Asinh { scale: 0.5 });
        net.push(Dense::new(3));
        let t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.1)).batch(30).seed(2).device(device.clone());
        let mut t = t.data(data.expect("samples"), None::<Samples>).build().expect("a legal trainer");
        let losses: Vec<f64> = (0..12).map(|_| t.step().expect("a step")).collect();
        (losses, t.model().array("asinh1.log_scale").expect("a parameter"))
    };
    let (cpu, cuda) = (run(&Device::cpu()), run(&gpu.device));
    for (a, b) in cpu.0.iter().zip(&cuda.0).chain(cpu.1.iter().zip(&cuda.1)) {
        assert!((a - b).abs() <= 1e-4 * a.abs().max(0.1), "{a} on the CPU, {b} on {}", gpu.device);
    }
    assert!(cuda.1.iter().any(|s| (s.exp() - 0.5).abs() > 1e-3), "the parameter did not move: {:?}", cuda.1);
}

/// A mistake in the `.cu` file is an error of the plan that shows the compiler's message.
#[test]
fn a_kernel_that_does_not_compile_is_an_error_of_the_plan() {
    use kamacite::device::Source;
    let Some(gpu) = gpu() else { return };
    let Device::Cuda(cuda) = &gpu.device else { return };
    const BROKEN: Source = Source::new("broken", "#include \"prelude.cuh\"\nKERNEL(32, broken, Missing) { oops }\n");
    let e = cuda.kernel::<u32>(&BROKEN, "broken").expect_err("no such type");
    assert_eq!(e.kind(), ErrorKind::Device);
    assert!(e.to_string().contains("broken.cu") && e.to_string().contains("Missing"), "{e}");
    const OTHER: Source = Source::new("other", "#include \"prelude.cuh\"\nKERNEL(32, other, u64) { (void)a; }\n");
    let e = cuda.kernel::<u32>(&OTHER, "other").expect_err("another size");
    assert!(e.to_string().contains("8 bytes") && e.to_string().contains("4 bytes"), "{e}");
    let e = cuda.kernel::<u64>(&OTHER, "another").expect_err("no such kernel");
    assert!(e.to_string().contains("another"), "{e}");
    assert!(cuda.kernel::<u64>(&OTHER, "other").is_ok());
}
