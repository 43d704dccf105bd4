python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target .site .whl/*.whl
export PYTHONPATH=.site:.:tests PYTHONUNBUFFERED=1
S=$SECONDS
say() { echo "[$((SECONDS-S)) s] $*"; }
G="python3 -m benchmarks.gpu --output $OUT"
(timeout 170 $G --parts '[tests]' > tests.log 2>&1; say tests over; tail -3 tests.log) &
TESTS=$!
JOBS=6
MPSD=$(command -v nvidia-cuda-mps-control || ls /usr/local/nvidia/bin/nvidia-cuda-mps-control 2>/dev/null)
say "mps: $MPSD"
if [ -n "$MPSD" ]; then
  export CUDA_MPS_PIPE_DIRECTORY=/tmp/mps CUDA_MPS_LOG_DIRECTORY=/tmp/mps-log; mkdir -p /tmp/mps /tmp/mps-log
  $MPSD -d; sleep 1
  if timeout 40 python3 -c "import torch; print(torch.ones(3, device='cuda').sum().item())"; then JOBS=10; say mps works; else
    echo quit | $MPSD; unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY; say mps does not work; fi
fi
OMP_NUM_THREADS=1 timeout 440 $G --parts '[study]' --jobs $JOBS --studies '[simulated_full]' --study_minutes 6.2 > study.log 2>&1
say study over; tail -40 study.log
[ $JOBS = 10 ] && echo quit | $MPSD; unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
wait $TESTS
for part in evaluation epoch bench; do
  left=$((570-SECONDS+S)); [ $left -gt 25 ] && timeout $left $G --parts "[$part]" > $part.log 2>&1; say $part; tail -22 $part.log | cut -c1-170
done
cp study.log $OUT/study.txt
