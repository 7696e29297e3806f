# shellcheck shell=bash
# The configuration files of the testbed's two clusters: `full` has accounting, GPUs and preemption; `plain` has none of
# these, and a small MaxArraySize.

# Process tracking is by control groups (version 1: SLURM wants systemd for version 2) where those can be written: then
# nothing of a job survives it, and --mem is the kernel's limit. Elsewhere it is by parent processes.
cgroups_work() {
    local controller probe
    for controller in memory freezer; do
        probe=/sys/fs/cgroup/$controller/hpcho-testbed-probe
        mkdir "$probe" 2>/dev/null || [ -d "$probe" ] || return 1
        [ -e "$probe/cgroup.procs" ] && rmdir "$probe" || return 1
    done
}

write_tracking() {
    if cgroups_work; then
        local swap=no
        [ ! -e /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes ] || swap=yes
        cat >"$PREFIX/etc/cgroup.conf" <<C
CgroupPlugin=cgroup/v1
CgroupMountpoint=/sys/fs/cgroup
CgroupAutomount=no
ConstrainCores=no
ConstrainDevices=no
ConstrainRAMSpace=yes
ConstrainSwapSpace=$swap
AllowedSwapSpace=0
C
        # With both, slurmctld refuses to start: no OverMemoryKill here.
        printf '%s\n' ProctrackType=proctrack/cgroup TaskPlugin=task/cgroup
    else
        rm -f "$PREFIX/etc/cgroup.conf"
        printf '%s\n' ProctrackType=proctrack/linuxproc TaskPlugin=task/none JobAcctGatherParams=OverMemoryKill
    fi
}

write_accounting() {
    if [ "$VARIANT" = plain ]; then
        echo AccountingStorageType=accounting_storage/none
        return
    fi
    cat <<C
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 2))
AccountingStoragePass=$PREFIX/run/munge/socket
AccountingStorageTRES=gres/gpu
AccountingStorageEnforce=limits,qos
C
    install -m 600 -o slurm -g slurm /dev/null "$PREFIX/etc/slurmdbd.conf"
    cat >"$PREFIX/etc/slurmdbd.conf" <<C
AuthType=auth/munge
AuthInfo=socket=$PREFIX/run/munge/socket
DbdHost=$(hostname -s)
DbdAddr=127.0.0.1
DbdPort=$((PORT + 2))
SlurmUser=slurm
PidFile=$PREFIX/run/ctld/slurmdbd.pid
LogFile=$PREFIX/log/ctld/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT + 3))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CommunicationParameters=NoInAddrAny
C
}

write_nodes() {
    local node="NodeHostname=localhost NodeAddr=127.0.0.1 Boards=1 SocketsPerBoard=1 ThreadsPerCore=1"
    local small="CPUs=4 CoresPerSocket=4 RealMemory=4000" large="CPUs=8 CoresPerSocket=8 RealMemory=8000"
    if [ "$VARIANT" = plain ]; then
        cat <<C
MaxArraySize=4
PreemptType=preempt/none
NodeName=plain[1-2] Port=$((PORT + 11))-$((PORT + 12)) $large $node
PartitionName=cpu Nodes=plain[1-2] Default=YES MaxTime=INFINITE DefaultTime=10
C
        return
    fi
    cat <<C
MaxArraySize=1001
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName=cpu[1-2] Port=$((PORT + 11))-$((PORT + 12)) $small Feature=small $node
NodeName=gpu[1-2] Port=$((PORT + 13))-$((PORT + 14)) $large Feature=a100 Gres=gpu:2 $node
PartitionName=cpu Nodes=cpu[1-2] Default=YES MaxTime=INFINITE DefaultTime=10 PriorityTier=1 GraceTime=10
PartitionName=gpu Nodes=gpu[1-2] MaxTime=INFINITE DefaultTime=10 PriorityTier=1 GraceTime=10
PartitionName=urgent Nodes=cpu[1-2],gpu[1-2] MaxTime=INFINITE DefaultTime=10 PriorityTier=100 PreemptMode=OFF
C
    # A GPU must be a device node, whose name ends in its number; these are further names of /dev/null. With plain files
    # CUDA_VISIBLE_DEVICES stays unset.
    local number
    for number in 0 1; do
        [ -c "$PREFIX/dev/nvidia$number" ] || mknod -m 666 "$PREFIX/dev/nvidia$number" c 1 3
    done
    echo "NodeName=gpu[1-2] Name=gpu File=$PREFIX/dev/nvidia[0-1]" >"$PREFIX/etc/gres.conf"
}

write_config() {
    install -d -m 755 "$PREFIX" "$PREFIX/etc" "$PREFIX/log" "$PREFIX/run" "$PREFIX/dev" "$PREFIX/spool"
    install -d -m 755 -o slurm -g slurm "$PREFIX/log/ctld" "$PREFIX/run/ctld" "$PREFIX/state"
    {
        cat <<C
ClusterName=$CLUSTER
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmctldPort=$((PORT + 1))
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=$PREFIX/run/munge/socket
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
MpiDefault=none
SwitchType=switch/none
StateSaveLocation=$PREFIX/state
SlurmdSpoolDir=$PREFIX/spool/%n
SlurmctldPidFile=$PREFIX/run/ctld/slurmctld.pid
SlurmdPidFile=$PREFIX/run/slurmd-%n.pid
SlurmctldLogFile=$PREFIX/log/ctld/slurmctld.log
SlurmdLogFile=$PREFIX/log/slurmd-%n.log
SlurmdParameters=config_overrides
ReturnToService=1
SlurmctldTimeout=30
SlurmdTimeout=15
KillWait=5
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=sched_min_interval=100000,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=200
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=2
JobCompType=jobcomp/none
C
        write_tracking
        write_accounting
        write_nodes
    } >"$PREFIX/etc/slurm.conf"
}
