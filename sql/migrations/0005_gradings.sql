-- By which grader the answers to a batch were graded.

create table if not exists gradings (
    batch_id              varchar not null,
    decision_run_id       varchar not null,
    grader                varchar not null,
    grader_version        varchar not null,
    settings              json    not null,
    of_batch              boolean not null,
    graded                bigint  not null,
    ungraded              bigint  not null,
    mean_grade            double,
    agreement_answers     bigint,
    agreement_accuracy    double,
    agreement_kappa       double,
    agreement_kappa_lower double,
    agreement_kappa_upper double,
    judge_spent_usd       double,
    judge_withheld        bigint,
    dagster_run_id        varchar not null,
    entry                 bigint  not null default nextval('entries'),
    recorded_at           timestamptz not null default current_timestamp
);
