//! The configuration files of the daemons: all on 127.0.0.1, all files below one folder. Pure text.

use std::path::Path;

use super::Options;

/// The name of the cluster.
pub(super) const CLUSTER: &str = "testcluster";

/// The account that users of the cluster book on.
pub(super) const ACCOUNT: &str = "lab";

/// What all of them have to agree on.
pub(super) struct Site<'a> {
    pub(super) folder: &'a Path,
    /// This machine's name, without its domain.
    pub(super) host: &'a str,
    /// Of slurmdbd, for its database.
    pub(super) password: &'a str,
    pub(super) plugins: &'a Path,
    pub(super) ports: Ports,
}

/// Where the daemons listen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) mariadbd: u16,
    pub(super) slurmdbd: u16,
    pub(super) slurmctld: u16,
    pub(super) slurmd: u16,
}

/// `my.cnf`: nothing that is worth keeping, so nothing that waits for the disk.
pub(super) fn mariadb(site: &Site<'_>) -> String {
    let (folder, port) = (site.folder.display(), site.ports.mariadbd);
    format!(
        "[mariadbd]\ndatadir={folder}/database/data\nsocket={folder}/run/mariadb\npid-file={folder}/run/mariadb.pid\n\
         bind-address=127.0.0.1\nport={port}\nskip-name-resolve\nskip-log-bin\nperformance_schema=OFF\n\
         innodb_buffer_pool_size=64M\ninnodb_log_file_size=16M\ninnodb_flush_log_at_trx_commit=0\n\
         innodb_lock_wait_timeout=900\nmax_allowed_packet=16M\n"
    )
}

/// `slurmdbd.conf(5)`.
pub(super) fn slurmdbd(site: &Site<'_>) -> String {
    let Site { folder, host, password, ports, .. } = site;
    let folder = folder.display();
    format!(
        "AuthType=auth/munge\nAuthInfo=socket={folder}/munge/socket\nSlurmUser=slurm\nDbdHost={host}\n\
         DbdAddr=127.0.0.1\nDbdPort={}\nDebugLevel=info\nLogFile={folder}/log/slurmdbd.log\n\
         PidFile={folder}/log/slurmdbd.pid\nStorageType=accounting_storage/mysql\nStorageHost=127.0.0.1\n\
         StoragePort={}\nStorageUser=slurm\nStoragePass={password}\nStorageLoc=slurm_acct_db\nCommitDelay=0\n\
         CommunicationParameters=NoInAddrAny\nParameters=PreserveCaseUser\n",
        ports.slurmdbd, ports.mariadbd
    )
}

/// `slurm.conf(5)`: as a site has it where that can be seen from outside, and fast where it cannot.
pub(super) fn slurm(site: &Site<'_>, options: &Options) -> String {
    let Site { folder, host, plugins, ports, .. } = site;
    let (folder, plugins) = (folder.display(), plugins.display());
    let accounting = if options.accounting {
        format!(
            "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=127.0.0.1\n\
             AccountingStoragePort={}\nAccountingStoragePass={folder}/munge/socket\n\
             AccountingStoreFlags=job_comment,job_script,job_env\nAccountingStorageEnforce=associations\n",
            ports.slurmdbd
        )
    } else {
        "AccountingStorageType=accounting_storage/none\n".to_owned()
    };
    let further: String = options.settings.iter().map(|line| format!("{line}\n")).collect();
    format!(
        "ClusterName={CLUSTER}\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=slurm\nSlurmctldPort={}\nSlurmdPort={}\n\
         AuthType=auth/munge\nAuthInfo=socket={folder}/munge/socket\nCredType=cred/munge\n\
         CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\nMpiDefault=none\nMailProg=/bin/true\n\
         ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSwitchType=switch/none\nReturnToService=2\n\
         StateSaveLocation={folder}/slurmctld\nSlurmdSpoolDir={folder}/slurmd\n\
         SlurmctldPidFile={folder}/log/slurmctld.pid\nSlurmdPidFile={folder}/log/slurmd.pid\n\
         SlurmctldLogFile={folder}/log/slurmctld.log\nSlurmdLogFile={folder}/log/slurmd.log\n\
         SlurmctldDebug=info\nSlurmdDebug=info\nPluginDir={plugins}\nPlugStackConfig={folder}/etc/plugstack.conf\n\
         SchedulerType=sched/backfill\n\
         SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\nMaxArraySize={}\nMaxJobCount=10000\n\
         MinJobAge=300\nKillWait=3\nCompleteWait=0\nInactiveLimit=0\nWaittime=0\nSlurmctldTimeout=30\n\
         SlurmdTimeout=30\n{accounting}JobAcctGatherType=jobacct_gather/linux\nJobAcctGatherFrequency=task=1\n\
         JobAcctGatherParams=OverMemoryKill\nJobCompType=jobcomp/none\nPropagateResourceLimits=NONE\n\
         SlurmdParameters=config_overrides\nDefMemPerCPU=256\n\
         NodeName=localhost NodeAddr=127.0.0.1 NodeHostname={host} CPUs={} RealMemory={} Features=gpulike State=UNKNOWN\n\
         PartitionName=cpu Nodes=localhost Default=YES DefaultTime=00:10:00 MaxTime={} OverSubscribe=NO State=UP\n\
         PartitionName=gpu-like Nodes=localhost Default=NO DefaultTime=00:05:00 MaxTime=00:30:00 State=UP\n{further}",
        ports.slurmctld,
        ports.slurmd,
        options.max_array_size,
        options.cpus,
        options.megabytes,
        options.max_time,
    )
}

/// No control groups: containers seldom may use them.
pub(super) const CGROUP: &str =
    "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n";

/// What `sacctmgr load` takes: one call instead of four, each of which takes a second.
pub(super) fn accounts(users: &[&str]) -> String {
    let mut text = format!(
        "Cluster - '{CLUSTER}':Fairshare=1:QOS='normal'\nParent - 'root'\n\
         User - 'root':AdminLevel='Administrator':DefaultAccount='root':Fairshare=1\n\
         Account - '{ACCOUNT}':Description='{ACCOUNT}':Organization='{ACCOUNT}':Fairshare=1\nParent - '{ACCOUNT}'\n"
    );
    for user in users {
        text.push_str(&format!("User - '{user}':DefaultAccount='{ACCOUNT}':Fairshare=1\n"));
    }
    text
}
