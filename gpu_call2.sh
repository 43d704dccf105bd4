S=$SECONDS
say() { echo "[$((SECONDS-S)) s] $*"; }
python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target .site .whl/*.whl
export PYTHONPATH=.site:.:tests PYTHONUNBUFFERED=1
mkdir -p runs data/spliced; tar xf .gpu_carry/m_spliced_pt.tar.xz -C data/spliced
G="python3 -m benchmarks.gpu --output $OUT"
(timeout 200 $G --parts '[tests]' > tests.log 2>&1; say tests over; tail -3 tests.log; grep -a FAILED $OUT/tests.txt | head -40) &
TESTS=$!
JOBS=6
MPSD=$(command -v nvidia-cuda-mps-control || ls /usr/local/nvidia/bin/nvidia-cuda-mps-control 2>/dev/null)
say "mps: $MPSD"
if [ -n "$MPSD" ]; then
  export CUDA_MPS_PIPE_DIRECTORY=/tmp/mps CUDA_MPS_LOG_DIRECTORY=/tmp/mps-log; mkdir -p /tmp/mps /tmp/mps-log
  timeout 10 $MPSD -d; sleep 1
  if timeout 40 python3 -c "import torch; print(torch.ones(3, device='cuda').sum().item())"; then JOBS=10; say mps works; else
    echo quit | timeout 10 $MPSD; unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY; say mps does not work; fi
fi
export OMP_NUM_THREADS=1
if [ $JOBS = 10 ]; then
  (timeout 400 python3 -m experiments.cli.main study spliced_machines --output runs/spliced_machines --jobs 4 -- --trainer.accelerator=gpu --wandb.mode=disabled --trainer.enable_progress_bar=false > spliced.log 2>&1; say spliced over; tail -5 spliced.log | cut -c1-300) &
  SPL=$!
fi
timeout 430 $G --parts '[study]' --jobs $JOBS --studies '[simulated_full]' --study_minutes 6.3 > study.log 2>&1
say full study over; tail -30 study.log | cut -c1-300
LEFT=$((400-SECONDS+S))
if [ $LEFT -gt 60 ]; then timeout $((LEFT+20)) $G --parts '[study]' --jobs $JOBS --studies '[training_length]' --overrides '["--data.batch_size=32"]' --study_minutes $(python3 -c "print($LEFT/60)") > curve.log 2>&1; say curves over; tail -12 curve.log | cut -c1-300; fi
[ -n "$SPL" ] && wait $SPL && tar cJf $OUT/spliced_machines.tar.xz --exclude=checkpoints --exclude=wandb --exclude=examples -C runs spliced_machines
if [ $JOBS = 10 ]; then echo quit | timeout 10 $MPSD; unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY; fi
unset OMP_NUM_THREADS
wait $TESTS
for part in evaluation epoch bench; do
  left=$((575-SECONDS+S)); [ $left -gt 25 ] && timeout $left $G --parts "[$part]" > $part.log 2>&1; say $part; grep -av "GPU avail\|TPU\|litlogger\|Trainer\|LOCAL_RANK" $part.log | tail -14 | cut -c1-150
done
cat tests.log study.log curve.log spliced.log > $OUT/logs.txt 2>/dev/null; ls -la $OUT
