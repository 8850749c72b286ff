"""What must be true of the database at every moment. One entry of the list is one check.

Each is a query for what is wrong; it names what it finds in a column `what`. All are asked of one snapshot, and
every transaction leaves all of them true, so that a finding under load is a finding.
"""

from dataclasses import dataclass

from quire.crypto import SEAL_BYTES


@dataclass(frozen=True)
class Check:
    name: str
    rule: str
    exceptions: str  # SQL


LIVE = "('queued', 'running')"

# ---- jobs and their entries in the ledger -----------------------------------------------------------------

JOBS_WITHOUT_ENTRY = Check(
    "job_without_entry",
    "every job has an entry in the ledger, of its tenant and model",
    """
    SELECT 'job ' || jobs.id AS what FROM jobs LEFT JOIN ledger ON ledger.job_id = jobs.id
    WHERE ledger.job_id IS NULL OR ledger.tenant_id <> jobs.tenant_id OR ledger.model <> jobs.model
    """,
)
OPEN_WITHOUT_LIVE_JOB = Check(
    "open_without_live_job",
    "every open entry belongs to a job that is queued or running",
    f"""
    SELECT 'entry of job ' || ledger.job_id || ', which is ' || coalesce(jobs.state, 'gone') AS what
    FROM ledger LEFT JOIN jobs ON jobs.id = ledger.job_id
    WHERE ledger.settled_at IS NULL AND (jobs.id IS NULL OR jobs.state NOT IN {LIVE})
    """,  # noqa: S608 - a constant
)
SETTLED_OF_LIVE_JOB = Check(
    "settled_of_live_job",
    "every job that is queued or running has one open entry",
    f"""
    SELECT 'entry of job ' || jobs.id || ', which is ' || jobs.state AS what
    FROM jobs JOIN ledger ON ledger.job_id = jobs.id
    WHERE jobs.state IN {LIVE} GROUP BY jobs.id HAVING count(*) FILTER (WHERE ledger.settled_at IS NULL) <> 1
    """,  # noqa: S608
)
WRONG_BILL = Check(
    "wrong_bill",
    "every job that is over is billed its prompt, if it ever ran, and the tokens that it delivered",
    """
    SELECT 'job ' || jobs.id || ': billed ' || coalesce(sum(ledger.prompt_tokens), -1) || ' + '
        || coalesce(sum(ledger.completion_tokens), -1) || ', delivered ' || jobs.completion_tokens AS what
    FROM jobs JOIN ledger ON ledger.job_id = jobs.id
    WHERE jobs.finished_at IS NOT NULL
    GROUP BY jobs.id HAVING bool_and(ledger.settled_at IS NOT NULL)
        AND (sum(ledger.completion_tokens) IS DISTINCT FROM jobs.completion_tokens
            OR sum(ledger.prompt_tokens) IS DISTINCT FROM
                CASE WHEN started_at IS NULL THEN 0 ELSE jobs.prompt_tokens END)
    """,
)
MORE_THAN_RESERVED = Check(
    "more_than_reserved",
    "nothing is billed beyond what was reserved",
    """
    SELECT 'entry of job ' || job_id || ': ' || prompt_tokens + completion_tokens || ' of ' || reserved AS what
    FROM ledger WHERE settled_at IS NOT NULL AND prompt_tokens + completion_tokens > reserved
    """,
)

ACCOUNT_DIFFERS = Check(
    "account_differs",
    "the accounts by day are the sums of the ledger",
    """
    SELECT 'account of ' || tenant_id || ' for ' || model || ' on ' || day AS what
    FROM usage FULL JOIN (
        SELECT tenant_id, day, model, coalesce(sum(reserved) FILTER (WHERE NOT folded), 0) AS open,
            count(*) FILTER (WHERE folded) AS ended,
            coalesce(sum(prompt_tokens) FILTER (WHERE folded), 0) AS prompts,
            coalesce(sum(completion_tokens) FILTER (WHERE folded), 0) AS completions
        FROM ledger GROUP BY tenant_id, day, model) AS entries USING (tenant_id, day, model)
    WHERE (reserved, jobs, prompt_tokens, completion_tokens) IS DISTINCT FROM (open, ended, prompts, completions)
    """,
)

# ---- what was delivered -----------------------------------------------------------------------------------

TEXT_OF_OTHER_LENGTH = Check(
    "text_of_other_length",
    "every job that is over delivered what its text log holds",
    """
    SELECT 'job ' || jobs.id || ': ' || completion_tokens || ' tokens, its log has ' || coalesce(log.tokens, 0)
        AS what
    FROM jobs LEFT JOIN (
        SELECT job_id, max("offset" + tokens) AS tokens FROM chunks GROUP BY job_id) AS log ON log.job_id = jobs.id
    WHERE jobs.finished_at IS NOT NULL AND completion_tokens <> coalesce(log.tokens, 0)
    """,
)
TEXT_WITHOUT_JOB = Check(
    "text_without_job",
    "every text belongs to a job of its tenant",
    """
    SELECT DISTINCT 'text of job ' || chunks.job_id AS what FROM chunks LEFT JOIN jobs ON jobs.id = chunks.job_id
    WHERE jobs.id IS NULL OR jobs.tenant_id <> chunks.tenant_id
    """,
)
ARTIFACT_OF_OTHER_SIZE = Check(
    "artifact_of_other_size",
    "every artifact has all its parts, or says why it could not be made",
    f"""
    SELECT 'artifact ' || artifacts.name || ' of job ' || artifacts.job_id AS what
    FROM artifacts LEFT JOIN (
        SELECT job_id, name, sum(octet_length(body) - {SEAL_BYTES}) AS size, count(*) AS parts,
            max(part) + 1 AS numbered
        FROM artifact_parts GROUP BY job_id, name) AS parts USING (job_id, name)
    WHERE artifacts.size <> coalesce(parts.size, 0) OR parts.parts <> parts.numbered
        OR (artifacts.digest IS NULL) <> (artifacts.unavailable IS NOT NULL)
    """,  # noqa: S608 - a constant
)
ARTIFACT_OF_OTHER_TENANT = Check(
    "artifact_of_other_tenant",
    "every artifact belongs to a job of its tenant",
    """
    SELECT 'artifact ' || artifacts.name || ' of job ' || artifacts.job_id AS what
    FROM artifacts JOIN jobs ON jobs.id = artifacts.job_id
    WHERE jobs.tenant_id <> artifacts.tenant_id
        OR EXISTS (SELECT FROM artifact_parts AS part WHERE part.job_id = jobs.id
            AND part.tenant_id <> jobs.tenant_id)
    """,
)
END_WITHOUT_TIME = Check(
    "end_without_time",
    "a job has a time of its end if and only if it is over",
    f"""
    SELECT 'job ' || id || ', which is ' || state AS what FROM jobs
    WHERE (state IN {LIVE}) = (finished_at IS NOT NULL)
    """,  # noqa: S608
)

# ---- lanes ------------------------------------------------------------------------------------------------

LANE = "'lane of ' || lanes.tenant_id || ' for ' || lanes.model"
BUSY = """
    SELECT model, tenant_id, count(*) AS jobs, sum(charged) AS charged FROM jobs WHERE state = 'running'
    GROUP BY model, tenant_id
"""
RUNNING_MISCOUNTED = Check(
    "running_miscounted",
    "a lane counts the jobs of it that run",
    f"""
    SELECT {LANE} || ': counts ' || running || ', has ' || coalesce(jobs, 0) AS what
    FROM lanes LEFT JOIN ({BUSY}) AS busy USING (model, tenant_id) WHERE running <> coalesce(jobs, 0)
    """,  # noqa: S608
)
OUTSTANDING_MISCOUNTED = Check(
    "outstanding_miscounted",
    "what is outstanding in a lane is what its running jobs were charged",
    f"""
    SELECT {LANE} || ': has ' || outstanding || ', its jobs ' || coalesce(charged, 0) AS what
    FROM lanes LEFT JOIN ({BUSY}) AS busy USING (model, tenant_id) WHERE outstanding <> coalesce(charged, 0)
    """,  # noqa: S608
)
STRANDED = Check(
    "stranded",
    "a lane with a job that may run is marked as ready",
    f"""
    SELECT {LANE} AS what FROM lanes WHERE NOT ready AND EXISTS (
        SELECT FROM jobs WHERE jobs.model = lanes.model AND jobs.tenant_id = lanes.tenant_id
            AND jobs.state = 'queued' AND jobs.hold = 0)
    """,  # noqa: S608
)

# ---- batches ----------------------------------------------------------------------------------------------

BATCH_MISCOUNTED = Check(
    "batch_miscounted",
    "a batch's items are held, jobs not yet counted, or counted; and what it reserved is those jobs'",
    """
    SELECT 'batch ' || batches.id || ', which is ' || batches.state AS what
    FROM batches LEFT JOIN (
        SELECT batch_id, count(*) AS jobs, sum(prompt_tokens + max_tokens) AS reserved FROM jobs
        WHERE batch_id IS NOT NULL AND NOT collected GROUP BY batch_id) AS live ON live.batch_id = batches.id
    WHERE batches.state <> 'receiving' AND (batches.reserved <> coalesce(live.reserved, 0)
        OR total <> held + succeeded + failed + cancelled + expired + coalesce(live.jobs, 0))
    """,
)
OCCURRENCE_WITHOUT_BATCH = Check(
    "occurrence_without_batch",
    "an occurrence has the id of a batch if and only if it started, and no batch is of two",
    """
    SELECT 'occurrence of ' || schedule_id || ' at ' || moment AS what FROM occurrences
    WHERE (state = 'started') <> (batch_id IS NOT NULL) OR EXISTS (
        SELECT FROM occurrences AS other WHERE other.batch_id = occurrences.batch_id
            AND (other.schedule_id, other.moment) <> (occurrences.schedule_id, occurrences.moment))
    """,
)

CHECKS = (
    JOBS_WITHOUT_ENTRY,
    OPEN_WITHOUT_LIVE_JOB,
    SETTLED_OF_LIVE_JOB,
    WRONG_BILL,
    MORE_THAN_RESERVED,
    ACCOUNT_DIFFERS,
    TEXT_OF_OTHER_LENGTH,
    TEXT_WITHOUT_JOB,
    ARTIFACT_OF_OTHER_SIZE,
    ARTIFACT_OF_OTHER_TENANT,
    END_WITHOUT_TIME,
    RUNNING_MISCOUNTED,
    OUTSTANDING_MISCOUNTED,
    STRANDED,
    BATCH_MISCOUNTED,
    OCCURRENCE_WITHOUT_BATCH,
)
