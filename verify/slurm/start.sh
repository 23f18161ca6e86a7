#!/usr/bin/env bash
# A Slurm cluster of one machine and two processors on loopback, for the suite.
#
#   start.sh DIR CTLD_PORT SLURMD_PORT     makes and starts it; SLURM_CONF=DIR/slurm.conf speaks to it
#   start.sh DIR slurmctld|slurmd          starts one daemon again, after it was killed
#
# It runs as root, needs no systemd and leaves nothing outside DIR. Whoever started it stops it: the
# daemons' process ids are in DIR/*.pid. Packages: slurmctld slurmd slurm-client munge.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin
dir=$1

start() {
    case $1 in
    munged)
        setsid munged --foreground --force --num-threads=2 --key-file="$dir/munge.key" \
            --socket="$dir/munge.sock" --pid-file="$dir/munged.pid" --log-file="$dir/munged.log" \
            --seed-file="$dir/munge.seed" >"$dir/munged.out" 2>&1 </dev/null &
        ;;
    slurmctld) setsid slurmctld -D -f "$dir/slurm.conf" >>"$dir/slurmctld.out" 2>&1 </dev/null & ;;
    slurmd) setsid slurmd -D -f "$dir/slurm.conf" -N worker >>"$dir/slurmd.out" 2>&1 </dev/null & ;;
    *)
        printf 'start.sh: %s is no daemon of the cluster\n' "$1" >&2
        exit 2
        ;;
    esac
}

wait_for() {
    for _ in $(seq 150); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    printf 'start.sh: gave up waiting for: %s\n' "$*" >&2
    tail -n 5 "$dir"/*.out "$dir"/*.log >&2 || true
    exit 1
}

is_ready() {
    [[ $(sinfo --noheader --format=%T --nodes=worker) =~ ^(idle|mixed|allocated) ]]
}

export SLURM_CONF=$dir/slurm.conf
if (($# == 2)); then
    start "$2"
    exit
fi

if ((EUID != 0)); then
    printf 'start.sh: only root can start slurmd\n' >&2
    exit 1
fi
for need in munged slurmctld slurmd; do
    command -v "$need" >/dev/null || {
        printf 'start.sh: no %s; apt-get install slurmctld slurmd slurm-client munge\n' "$need" >&2
        exit 1
    }
done
mkdir -p "$dir/state" "$dir/spool"
chmod 755 "$dir"
head -c 1024 /dev/urandom >"$dir/munge.key"
chmod 600 "$dir/munge.key"
# A requeued task waits until its old credential is void, two minutes unless cred_expire says less.
cat >"$dir/slurm.conf" <<CONF
ClusterName=verify
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$2
SlurmdPort=$3
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge.sock,cred_expire=5
CredType=cred/munge
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=2
SlurmdTimeout=15
MessageTimeout=5
MinJobAge=3600
NodeName=worker NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 CPUs=2 RealMemory=4096
PartitionName=main Nodes=worker Default=YES MaxTime=INFINITE State=UP
CONF
start munged
wait_for test -S "$dir/munge.sock"
start slurmctld
start slurmd
wait_for is_ready
