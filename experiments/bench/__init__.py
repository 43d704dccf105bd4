"""Speed beside a plainly written yardstick and beside what the machine can do."""
