# %% [markdown]
# # An incident, taken apart
#
# When the worst stretch of late jobs began and ended, whom it hit, and what it did to promises and bills. Jobs that
# waited are found in the log and gathered into stretches; the worst is followed from its first job to its last. Nobody
# has to say beforehand when the incident was; name a time span to look at another one.

# %% tags=["parameters"]
import os

from zjops.analytics.notebook import small_log

LOG = os.environ.get("ZJOPS_LOG") or small_log()  # the folder of a log; without one a small synthetic one is played
LATE_S = 30  # a job that waits longer for its start is late (the service level's bound)
APART_MIN = 60  # late jobs that were accepted so many minutes apart belong to different incidents
SPAN = None  # ("2026-09-04 13:00", "2026-09-04 18:00") looks at late jobs of that time alone, UTC
PNG = None  # a folder into which every chart is written as PNG, too

# %%
import datetime as dt
from itertools import pairwise
from pathlib import Path

import altair as alt
import duckdb
import polars as pl

from zjops.analytics.figures import MICROUSD, shown
from zjops.analytics.frames import frames
from zjops.analytics.notebook import PLAN_COLOURS, drawing, open_log, percent, reach, say, table
from zjops.analytics.viewfile import views_sql
from zjops.domain.plans import price_book
from zjops.domain.requests import UNBILLED

draw = drawing(PNG)
log, logs = open_log(LOG), frames(Path(LOG))
plans = list(price_book().plans)  # from the smallest to the largest
shades = alt.Scale(domain=plans, range=list(PLAN_COLOURS))
db = duckdb.connect()
db.execute(views_sql(Path(LOG)))


def ask(text, **given):
    """The rows of a SELECT over the log's views, as a frame."""
    return pl.DataFrame(db.sql(text, params=given or None))


def utc(*columns):
    """Columns of UTC times as charts want them."""
    return pl.col(*columns).dt.replace_time_zone("UTC")


clock = alt.Axis(format="%H:%M", tickCount=8)
across = alt.Scale(type="utc")

# %% [markdown]
# ## Finding it
#
# A job's wait is the time from its acceptance to its start; where it ended too quickly for a start to be told, to its
# end. The platform's own jobs are left out.

# %%
jobs = (
    ask("FROM jobs WHERE tenant NOT IN (SELECT unnest($own::VARCHAR[]))", own=sorted(UNBILLED))
    .with_columns(pl.coalesce("started_at", "ended_at").alias("start"))
    .with_columns((pl.col("start") - pl.col("accepted_at")).alias("wait"))
)
assert jobs.height == logs.jobs.filter(~pl.col("tenant").is_in(sorted(UNBILLED))).select(pl.len()).collect().item()

late = jobs.filter(pl.col("wait") > dt.timedelta(seconds=LATE_S)).sort("accepted_at", "job_id")
if SPAN is not None:
    since, until = (dt.datetime.fromisoformat(text) for text in SPAN)
    late = late.filter(pl.col("accepted_at").is_between(since, until))
assert late.height, f"no job of this log waited longer than {LATE_S} s: there is no incident to take apart"

gap = (pl.col("accepted_at") - pl.col("accepted_at").shift()).fill_null(dt.timedelta(0)) > dt.timedelta(
    minutes=APART_MIN
)
late = late.with_columns(gap.cum_sum().alias("stretch"))
stretches = (
    late.group_by("stretch")
    .agg(
        pl.col("accepted_at").min().alias("first"),
        pl.col("accepted_at").max().alias("last"),
        pl.col("start").max().alias("over"),
        pl.len().alias("late_jobs"),
        pl.col("wait").max().alias("longest"),
    )
    .sort("late_jobs", "stretch", descending=[True, False])
)
assert stretches["late_jobs"].sum() == late.height

worst = stretches.row(0, named=True)
hit = late.filter(pl.col("stretch") == worst["stretch"])
begin, over = worst["first"], worst["over"]
say(
    f"{late.height:,} of {jobs.height:,} jobs waited longer than {LATE_S} s, in {stretches.height} "
    f"{'stretch' if stretches.height == 1 else 'stretches'}. The worst holds **{hit.height:,} jobs, accepted from "
    f"{begin:%Y-%m-%d %H:%M} to {worst['last']:%H:%M} UTC**; the last of them started at {over:%H:%M}. {reach(log)}"
)

# %% [markdown]
# ## What happened, in order

# %%
margin = dt.timedelta(hours=1)
low, high = begin - margin, over + margin
window = {"low": low, "high": high}
starts = jobs.filter(pl.col("start").is_between(low, high))["start"].sort()
before = starts.filter(starts < begin)
quiet_from = before[-1] if len(before) else low
again = starts.filter(starts > begin)
resumed = again[0]
final = hit["confirmed_at"].max()

minutes = ask(
    "SELECT minute, source, sum(requests)::BIGINT AS requests, sum(errors_5xx + timeouts)::BIGINT AS bad, "
    "sum(requests) FILTER (status BETWEEN 400 AND 499)::BIGINT AS refused FROM requests_by_minute "
    "WHERE minute BETWEEN $low AND $high AND (source = 'prober' OR plan NOT IN ('none', 'prober')) GROUP BY ALL "
    "ORDER BY ALL",
    **window,
).with_columns(pl.col("refused").fill_null(0))
wrong = minutes.filter(pl.col("bad") > 0)

steps = [(quiet_from, "the last job before it starts"), (begin, "the first job that will be late is accepted")]
if wrong.height:
    steps.append((wrong["minute"].min(), "the first minute in which a request is answered by a 5xx or not in time"))
    if wrong["minute"].n_unique() > 1:
        steps.append((wrong["minute"].max(), "the last such minute"))
steps += [(resumed, "jobs start again"), (over, "the last late job starts: the queue is worked off")]
if final is not None:
    steps.append((final, "the last late job is final on chain"))
steps.sort()
assert quiet_from <= resumed <= over
table(
    [
        {
            "time, UTC": f"{at:%Y-%m-%d %H:%M:%S}",
            "since the first late job": f"{(at - begin).total_seconds() / 60:+,.0f} min",
            "what": what,
        }
        for at, what in steps
    ]
)

# %% [markdown]
# ## The queue
#
# Jobs that were accepted and had not started. The queue grows while nothing starts and falls when the workers are back;
# how steeply it falls is the platform's capacity.

# %%
grid = pl.DataFrame({"at": pl.datetime_range(low, high, "1m", eager=True, time_unit="us")})
accepted = jobs.select(pl.col("accepted_at").alias("at")).sort("at").with_row_index("accepted", 1)
started = jobs.select(pl.col("start").alias("at")).drop_nulls().sort("at").with_row_index("started", 1)
queue = (
    grid.join_asof(accepted, on="at")
    .join_asof(started, on="at")
    .with_columns(pl.col("accepted", "started").fill_null(0).cast(pl.Int64))
    .with_columns((pl.col("accepted") - pl.col("started")).alias("waiting"))
)
assert queue["waiting"].min() >= 0, "no job starts before it is accepted"
peak = queue.sort("waiting", "at", descending=[True, False]).row(0, named=True)

shade = (
    alt.Chart(pl.DataFrame({"from": [quiet_from], "to": [resumed]}).with_columns(utc("from", "to")))
    .mark_rect(color="#f2f2f2")
    .encode(alt.X("from:T", scale=across), x2="to:T")
)
area = (
    alt.Chart(
        queue.with_columns(utc("at")), title=alt.Title("Jobs that wait for a worker", subtitle="grey: nothing starts")
    )
    .mark_area(color="#0072b2", opacity=0.8, interpolate="step-after")
    .encode(
        alt.X("at:T", title=f"time on {begin:%-d %B %Y}, UTC", scale=across, axis=clock),
        alt.Y("waiting:Q", title="jobs accepted and not started"),
    )
)
draw(shade + area, "queue")

# %%
drain_s = (over - resumed).total_seconds()
drained = jobs.filter(pl.col("start").is_between(resumed, over)).height
usual = jobs.filter(pl.col("start") < quiet_from)
usual_day_s = max(1.0, (quiet_from - jobs["accepted_at"].min()).total_seconds())
usual_rate = usual.height / usual_day_s * 60
worked_off = (
    f"within {max(drain_s, 1.0):,.0f} s of the restart"
    if drain_s < 120
    else f"{drain_s / 60:,.0f} minutes after the restart, at {drained / drain_s * 60:,.0f} jobs a minute"
)
say(
    f"The queue was longest at {peak['at']:%H:%M}, with **{peak['waiting']:,} jobs**. Nothing started for "
    f"{(resumed - quiet_from).total_seconds() / 60:,.0f} minutes. It was worked off {worked_off}; before, "
    f"{usual_rate:,.1f} jobs a minute had started."
)

# %% [markdown]
# ## How long each job waited
#
# A point is what a tenant submitted at one moment. A falling line is the signature of a stop: whoever came first waited
# longest, and all started together. A queue that is merely too slow would rise instead.

# %%
points = hit.with_columns((pl.col("wait").dt.total_milliseconds() / 60_000).alias("minutes"), utc("accepted_at"))
moments = (
    points.group_by("accepted_at", "tenant", "plan")
    .agg(pl.len().alias("jobs"), pl.col("minutes").max())
    .sort("accepted_at", "tenant")
)
assert moments["jobs"].sum() == hit.height
most = moments["jobs"].max()
draw(
    alt.Chart(
        moments,
        title=alt.Title(
            "Wait of the late jobs", subtitle="a point a tenant and moment of acceptance; its size is the jobs"
        ),
    )
    .mark_point(filled=True, stroke="#444444", strokeWidth=0.6, opacity=1)
    .encode(
        alt.X("accepted_at:T", title="time of acceptance, UTC", scale=alt.Scale(type="utc", padding=12), axis=clock),
        alt.Y("minutes:Q", title="minutes until the start"),
        alt.Fill("plan:N", title="plan", scale=shades),
        alt.Size("jobs:Q", title="jobs", legend=alt.Legend(values=sorted({1, (most + 1) // 2, most}), format="d")),
    ),
    "waits",
)

# %%
middle, longest = points["minutes"].median(), points["minutes"].max()
order = points.sort("accepted_at")["minutes"].to_list()
falling = sum(one >= two for one, two in pairwise(order)) / max(1, len(order) - 1)
say(
    f"Half of the late jobs waited {middle:,.0f} minutes or longer, the longest {longest:,.0f}. "
    + (
        f"{percent(falling)} of them waited no longer than the one before: **a stop, not a lack of capacity**."
        if falling > 0.8
        else f"Only {percent(falling)} of them waited no longer than the one before: the queue was too slow rather "
        "than stopped."
    )
)

# %% [markdown]
# ## What callers saw

# %%
span = minutes.group_by("source").agg(pl.col("requests", "bad", "refused").sum()).sort("source")
rows = span.to_dicts()
callers = next((row for row in rows if row["source"] == "api"), {"requests": 0, "bad": 0, "refused": 0})
probes = next((row for row in rows if row["source"] == "prober"), {"requests": 0, "bad": 0, "refused": 0})
assert callers["bad"] + probes["bad"] == minutes["bad"].sum()

five = (
    minutes.group_by_dynamic("minute", every="5m", group_by="source")
    .agg(pl.col("requests", "bad").sum())
    .with_columns((pl.col("requests") - pl.col("bad")).alias("good"), utc("minute"))
    .unpivot(["good", "bad"], index=["minute", "source"], variable_name="answer", value_name="count")
    .sort("minute", "source", "answer")
)
times = alt.Scale(type="utc", domain=[low.replace(tzinfo=dt.UTC), high.replace(tzinfo=dt.UTC)])
answered = alt.Color(
    "answer:N", title="answered", scale=alt.Scale(domain=["good", "bad"], range=["#9ecae1", "#d55e00"])
)


def panel(source, whose):
    """The requests of one source, in 5 minutes."""
    return (
        alt.Chart(five.filter(pl.col("source") == source))
        .mark_bar(width=5)
        .encode(
            alt.X("minute:T", title="time, UTC", scale=times, axis=clock),
            alt.Y("count:Q", title=whose, axis=alt.Axis(tickMinStep=1, format=",d")),
            answered,
        )
        .properties(height=110)
    )


panels = [panel(row["source"], {"api": "requests of callers", "prober": "probes"}[row["source"]]) for row in rows]
draw(
    alt.vconcat(
        *panels, title=alt.Title("Requests around the incident", subtitle="in 5 minutes; bad: 5xx or not in time")
    ),
    "requests",
)

# %%
say(
    (
        f"Bad in these hours: {callers['bad']:,} of the callers' {callers['requests']:,} requests"
        if callers["requests"]
        else "No caller asked anything in these hours"
    )
    + (
        f", {probes['bad']:,} of the prober's {probes['requests']:,} probes."
        if probes["requests"]
        else "; no prober was at work."
    )
    + (
        " **Callers were served while their jobs waited**: an alert on requests alone would have said little of this "
        "incident."
        if callers["bad"] * 10 < max(1, callers["requests"])
        else ""
    )
)

# %% [markdown]
# ## Who was hit

# %%
tenants = (
    hit.group_by("tenant")
    .agg(
        pl.col("plan").first(), pl.len().alias("late"), (pl.col("wait").dt.total_seconds().max() / 60).alias("longest")
    )
    .sort(["late", "tenant"], descending=[True, False])
)
assert tenants["late"].sum() == hit.height
draw(
    alt.Chart(tenants.head(12), title=alt.Title("Late jobs by tenant", subtitle="the twelve with most"))
    .mark_bar()
    .encode(
        alt.X("late:Q", title="late jobs"),
        alt.Y("tenant:N", title=None, sort=None),
        alt.Color("plan:N", title="plan", scale=shades),
    ),
    "late-by-tenant",
)

# %%
top = tenants.row(0, named=True)
active = jobs.filter(pl.col("accepted_at").is_between(begin, worst["last"]))["tenant"].n_unique()
say(
    f"{tenants.height} tenants were hit, of {active} who submitted at that time; {top['tenant']} ({top['plan']}) has "
    f"{percent(top['late'] / hit.height)} of the late jobs. By plan: "
    + ", ".join(f"{plan} {count:,}" for plan in plans for count in [hit.filter(pl.col("plan") == plan).height] if count)
    + "."
)

# %% [markdown]
# ## Was anything lost, doubled or billed wrongly?
#
# Late is one thing, wrong another. Every late job is followed through its events.

# %%
events = ask(
    "SELECT job_id, count(*) FILTER (type = 'submitted') AS submitted, "
    "count(*) FILTER (type IN ('completed', 'failed', 'cancelled')) AS ended, "
    "count(*) FILTER (type IN ('completed', 'failed', 'cancelled') AND charge = 'charged') AS charged, "
    "count(*) FILTER (type = 'confirmed') AS confirmed FROM events_once GROUP BY job_id"
).join(hit.select("job_id"), on="job_id", how="semi")
assert events.height == hit.height
assert (events["submitted"] == 1).all(), "each was accepted once"
assert (events["ended"] <= 1).all(), "none ended twice"
assert (events["charged"] <= events["ended"]).all(), "none is charged twice, or without an end"
assert (events["confirmed"] <= events["ended"]).all(), "none is final that has not ended"

failed = hit.filter(pl.col("status") == "failed")
units = hit.filter(pl.col("charge") == "charged")["compute_units"].sum()
credits = log.ask(
    "SELECT tenant, (\"values\" ->> 'microusd')::BIGINT AS microusd, reason FROM ops_once "
    "WHERE action = 'credit.grant' AND time >= $since ORDER BY time, event_id",
    since=int(begin.replace(tzinfo=dt.UTC).timestamp() * 1000),
)
struck, still_open = set(hit["tenant"]), events.filter(pl.col("ended") == 0).height
table(
    [
        {"of the late jobs": "accepted once", "jobs": int((events["submitted"] == 1).sum())},
        {"of the late jobs": "ended once", "jobs": int((events["ended"] == 1).sum())},
        {"of the late jobs": "still open", "jobs": int((events["ended"] == 0).sum())},
        {"of the late jobs": "failed", "jobs": failed.height},
        {"of the late jobs": "charged", "jobs": int(events["charged"].sum())},
        {"of the late jobs": "final on chain", "jobs": int(events["confirmed"].sum())},
    ]
)

# %% [markdown]
# ## What operators and rules did
#
# Acts from two hours before it to a day after it; floods and suspensions stand here too, so that they are not taken for
# its cause.

# %%
acts = log.ask(
    "SELECT epoch_ms(time) AS at, actor, action, tenant FROM ops_once WHERE time BETWEEN $since AND $until ORDER BY "
    "time, event_id",
    since=int((low - margin).replace(tzinfo=dt.UTC).timestamp() * 1000),
    until=int((high + dt.timedelta(days=1)).replace(tzinfo=dt.UTC).timestamp() * 1000),
)
lines = [
    {"time, UTC": f"{act['at']:%Y-%m-%d %H:%M}", "act": act["action"], "tenant": act["tenant"], "by": act["actor"]}
    for act in acts[:8]
]
say(
    table(lines).text if lines else "Nobody and no rule acted in that time.",
    f"These are the first 8 of {len(acts):,} acts." if len(acts) > 8 else "",
)

# %% [markdown]
# ## In short

# %%
day = jobs.filter(pl.col("accepted_at").dt.date() == begin.date())
kept = (
    jobs.filter(pl.col("wait") <= dt.timedelta(seconds=LATE_S)).height
    / jobs.filter(pl.col("wait").is_not_null()).height
)
say(
    f"- **What:** nothing started for {(resumed - quiet_from).total_seconds() / 60:,.0f} minutes; up to "
    f"{peak['waiting']:,} jobs waited.",
    f"- **Whom:** {hit.height:,} jobs of {tenants.height} tenants, {percent(hit.height / day.height)} of the jobs of "
    "that day.",
    f"- **Recovery:** the queue was worked off {worked_off}"
    + (
        f"; the last of them was final {(final - over).total_seconds() / 60:,.0f} minutes later."
        if final is not None
        else "."
    ),
    f"- **Promises:** {percent(kept, 2)} of all jobs of the log started within {LATE_S} s, against an objective of "
    "99 %.",
    f"- **Money:** {units:,} CU of late jobs were charged as usual, since late is not failed. "
    + (
        "Credits granted since: "
        + ", ".join(
            f"{shown(one['microusd'], MICROUSD)} to {one['tenant']} (*{one['reason']}*), "
            + ("which was hit" if one["tenant"] in struck else "**which had no late job**")
            for one in credits[:5]
        )
        + ("." if len(credits) <= 5 else f" and {len(credits) - 5:,} more.")
        if credits
        else "No credit was granted since."
    ),
    "- **Proof:** each late job was accepted once, ended at most once and was charged at most once"
    + ("; none was lost." if still_open == 0 else f"; {still_open:,} have not ended yet."),
)
