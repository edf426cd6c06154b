#!/usr/bin/env bash
# Runs the README's array job on a temporary Slurm cluster: this machine is controller and node, on free ports.
# If Slurm (Debian's packages slurm-wlm and munge) is not installed, the test is skipped, and the reason is printed.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin
for program in slurmctld slurmd munged sbatch; do
    if ! command -v "$program" >/dev/null; then
        echo "skipped: $program is not installed (Debian's packages slurm-wlm and munge have it)"
        exit 0
    fi
done

dir=$(mktemp -d)
pids=()
stop() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait
    rm -rf "$dir"
}
trap stop EXIT

# munge requires folders that only its user can write to.
chmod 755 "$dir"
mkdir "$dir/state" "$dir/spool" "$dir/munge"
chmod 755 "$dir/munge"
head -c 1024 /dev/urandom >"$dir/munge/key"
chmod 600 "$dir/munge/key"
munged --foreground --force --num-threads=2 --socket="$dir/munge/socket" --key-file="$dir/munge/key" \
    --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed" 2>"$dir/munge/err" &
pids+=($!)

read -r controller_port node_port < <(python3 - <<'PYTHON'
import socket
sockets = [socket.socket() for _ in range(2)]
for s in sockets:
    s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))
PYTHON
)
host=$(hostname -s)
cat >"$dir/slurm.conf" <<CONF
ClusterName=s3pull
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$controller_port
SlurmdPort=$node_port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$dir/slurm.conf

slurmctld -D >"$dir/slurmctld.log" 2>&1 &
pids+=($!)
slurmd -D >"$dir/slurmd.log" 2>&1 &
pids+=($!)
for _ in $(seq 600); do
    [[ $(sinfo --noheader --format=%t 2>/dev/null) == idle ]] && break
    sleep 0.2
done
if [[ $(sinfo --noheader --format=%t) != idle ]]; then
    echo "Slurm did not start:"
    tail -n 20 "$dir"/*.log "$dir/munge/err"
    exit 1
fi

cargo test --locked --test it slurm -- --ignored
