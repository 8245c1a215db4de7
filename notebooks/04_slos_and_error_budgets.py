# %% [markdown]
# # Service levels and error budgets
#
# What the platform promised, what it kept, and how much of the error budget is left. Everything here is plain
# arithmetic on two views of the log: the requests that were answered, by minute, and the jobs.
#
# A request is bad when it was answered by a 5xx, which a refusal under load is too, or not in time; what a caller did
# wrong (4xx) is not. Requests of nobody, without a valid token, do not count. A minute without a single request is
# *unknown*, never good.

# %% tags=["parameters"]
import os

from zjops.analytics.notebook import small_log

LOG = os.environ.get("ZJOPS_LOG") or small_log()  # the folder of a log; without one a small synthetic one is played
AVAILABILITY = 0.999  # of requests, over a rolling period of so many days
PERIOD_DAYS = 30
WITHIN_300_MS, WITHIN_500_MS = 0.95, 0.99  # of 2xx
STARTED, CONFIRMED, SUCCEEDED = 0.99, 0.99, 0.95  # of jobs: within 30 s of acceptance, 60 s of the end, of those ended
PNG = None  # a folder into which every chart is written as PNG, too

# %%
import datetime as dt
from pathlib import Path

import altair as alt
import duckdb
import polars as pl

from zjops.analytics.frames import frames
from zjops.analytics.notebook import drawing, listed, open_log, percent, reach, say, table
from zjops.analytics.viewfile import views_sql
from zjops.domain.plans import price_book
from zjops.domain.requests import UNBILLED
from zjops.domain.synthetic import synthetic_part

draw = drawing(PNG)
log, logs, book = open_log(LOG), frames(Path(LOG)), price_book()
db = duckdb.connect()
db.execute(views_sql(Path(LOG)))


def ask(text, **given):
    """The rows of a SELECT over the log's views, as a frame."""
    return pl.DataFrame(db.sql(text, params=given or None))


def utc(column):
    """A column of UTC times as charts want it."""
    return pl.col(column).dt.replace_time_zone("UTC")


# %% [markdown]
# ## What was asked

# %%
requests = ask("FROM requests_by_minute")
assert requests.height, "this log has no requests: it is older than the request log, or was not written by a platform"
counted = requests.filter((pl.col("source") == "prober") | ~pl.col("plan").is_in(["none", "prober"]))
total, bad = counted["requests"].sum(), counted["errors_5xx"].sum() + counted["timeouts"].sum()

same = logs.requests.filter((pl.col("source") == "prober") | ~pl.col("plan").is_in(["none", "prober"])).select(
    pl.col("count").sum(), (pl.col("errors_5xx") + pl.col("timeouts")).sum().alias("bad")
)
assert same.collect().row(0) == (total, bad), "SQL and Polars"

wrong = pl.col("errors_5xx") + pl.col("timeouts")
fine = pl.col("requests") - wrong
kinds = {
    "answered: 2xx": fine.filter(pl.col("status") < 400),
    "refused: 4xx": fine.filter(pl.col("status") >= 400),
    "bad: 5xx or not in time": wrong,
}
answers = (
    counted.group_by(pl.col("source").replace({"api": "callers"}).alias("asked by"))
    .agg(**{name: held.sum() for name, held in kinds.items()})
    .unpivot(list(kinds), index="asked by", variable_name="answer", value_name="requests")
    .filter(pl.col("requests") > 0)
    .sort("asked by", "answer")
)
assert answers["requests"].sum() == total
of = {name: answers.filter(pl.col("answer") == name)["requests"].sum() for name in kinds}
assert of["bad: 5xx or not in time"] == bad
table(
    answers.select("answer", "asked by", "requests", (pl.col("requests") / total).alias("share")),
    {"share": lambda share: percent(share, 2)},
)

# %% [markdown]
# ## How much of the time is known
#
# The prober asks once a second, so that minutes without a caller are known too. Without it the quiet minutes are not.

# %%
by_minute = counted.group_by("minute").agg(
    pl.col("requests").sum(), (pl.col("errors_5xx") + pl.col("timeouts")).sum().alias("bad")
)
begin, end = by_minute["minute"].min(), by_minute["minute"].max()
grid = pl.DataFrame({"minute": pl.datetime_range(begin, end, "1m", eager=True, time_unit="us")})
minutes = (
    grid.join(by_minute, on="minute", how="left")
    .sort("minute")
    .with_columns(pl.col("requests").is_not_null().alias("known"), pl.col("requests", "bad").fill_null(0))
)
assert (minutes["requests"].sum(), minutes["bad"].sum()) == (total, bad), "no minute is left out or counted twice"

known, span_days = minutes["known"].sum(), minutes.height / 1440
probed = counted.filter(pl.col("source") == "prober").height > 0
whole = span_days >= PERIOD_DAYS and known == minutes.height
say(
    f"The log's requests span {span_days:.1f} days, from {begin:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; "
    f"{known:,} of {minutes.height:,} minutes are known ({percent(known / minutes.height, 1)}). {reach(log)}",
    ("" if probed else "**No prober wrote into this log**: only minutes in which somebody called are known. ")
    + ("" if whole else f"The period of {PERIOD_DAYS} days is not covered, so the figures below set no policy state."),
)

# %% [markdown]
# ## Availability and its budget
#
# The budget is the share of requests that may be bad, here of all requests that the log holds. It is kept in requests;
# minutes are given because people speak of them.

# %%
budget = (1 - AVAILABILITY) * total
left = 1 - bad / budget
achieved = 1 - bad / total
served = of["answered: 2xx"] / (of["answered: 2xx"] + bad) if of["answered: 2xx"] + bad else None
plans = ask(
    "SELECT plan, sum(requests)::BIGINT AS total, sum(errors_5xx + timeouts)::BIGINT AS bad FROM requests_by_minute "
    "WHERE source = 'api' AND plan NOT IN ('none', 'prober', 'unknown') GROUP BY plan"
)
probes = counted.filter(pl.col("source") == "prober")
probe_total, probe_bad = probes["requests"].sum(), (probes["errors_5xx"] + probes["timeouts"]).sum()
months = log.rows("availability", first_ms=0, after_ms=1 << 60)
assert {
    row["plan"]: (row["total"], row["good"]) for row in months if row["source"] == "api" and row["plan"] in book.plans
} == {
    row["plan"]: (row["total"], row["total"] - row["bad"]) for row in plans.to_dicts() if row["plan"] in book.plans
}, "as invoices count it"

say(
    f"**{percent(achieved, 3)} of {total:,} requests were good**, against an objective of {percent(AVAILABILITY, 1)}. "
    f"The budget was {budget:,.1f} bad requests; {bad:,} {'was' if bad == 1 else 'were'}, so that "
    + (f"**{percent(left)} of it is left**." if left >= 0 else f"**it is spent {bad / budget:,.1f} times over**."),
    f"In a period of {PERIOD_DAYS} days the budget is {PERIOD_DAYS * 1440 * (1 - AVAILABILITY):.1f} minutes of all "
    "requests.",
    f"Refusals count as good, and they are {percent(of['refused: 4xx'] / total)} of all requests: a flood of them "
    f"makes the level look better. Of what was answered or bad, {percent(served, 3)} were good"
    + (
        ", which would **miss the objective**."
        if served < AVAILABILITY <= achieved
        else ", which would keep the objective."
        if served >= AVAILABILITY
        else ", which misses the objective, too."
    )
    if of["refused: 4xx"] * 2 > total and served is not None
    else "",
)

# %%
running = minutes.with_columns((1 - pl.col("bad").cum_sum() / budget).alias("left"))
assert abs(running["left"][-1] - left) < 1e-9
hourly = running.group_by_dynamic("minute", every="1h").agg(pl.col("left").last())
ends = running.select("minute", "left").tail(1)
line = (
    alt.Chart(
        pl.concat([hourly, ends]).unique("minute", keep="last").sort("minute").with_columns(utc("minute")),
        title=alt.Title("What is left of the error budget", subtitle="of all bad requests that the log's total allows"),
    )
    .mark_line(interpolate="step-after")
    .encode(
        alt.X(
            "minute:T", title="time, UTC", scale=alt.Scale(type="utc"), axis=alt.Axis(format="%-d %b", tickCount="day")
        ),
        alt.Y("left:Q", title="budget left", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[min(0.0, left), 1])),
    )
)
bands = pl.DataFrame({"left": [0.5, 0.25, 0.0], "text": ["50 %: slow down", "25 %: freeze", "spent"]})
rules = alt.Chart(bands).mark_rule(strokeDash=[4, 3], color="#888888").encode(y="left:Q")
names = (
    alt.Chart(bands).mark_text(align="left", dy=-6, color="#555555").encode(x=alt.value(4), y="left:Q", text="text:N")
)
draw(line + rules + names, "budget-left")

# %% [markdown]
# ## How quickly it burned
#
# A burn rate of 1 spends the budget exactly in the period. Alerts look at two windows at once: the long one says that
# it matters, the short one that it goes on. Windows with less than 100 requests (10 in the short one) say nothing.

# %%
PAIRS = [("page", 14.4, 60, 5), ("page", 6.0, 360, 30), ("ticket", 3.0, 1440, 120), ("ticket", 1.0, 4320, 360)]


def burn(width, least):
    """The burn rate over the last `width` minutes; null where they hold fewer requests than `least`."""
    seen, wrong = (pl.col(name).rolling_sum(width, min_samples=1) for name in ("requests", "bad"))
    return pl.when(seen >= least).then(wrong / seen / (1 - AVAILABILITY))


alerts = []
for kind, factor, long, short in PAIRS:
    rates = minutes.select("minute", burn(long, 100).alias("long"), burn(short, 10).alias("short"))
    firing = rates.filter((pl.col("long") > factor) & (pl.col("short") > factor))
    alerts.append(
        {
            "alert": kind,
            "factor": factor,
            "windows": f"{long // 60} h and {short} min" if short < 60 else f"{long // 60} h and {short // 60} h",
            "highest burn rate": rates["long"].max() or 0.0,
            "minutes firing": firing.height,
            "first": "" if firing.is_empty() else f"{firing['minute'][0]:%Y-%m-%d %H:%M}",
        }
    )
assert all(row["minutes firing"] == 0 for row in alerts if row["highest burn rate"] <= row["factor"])
assert bad or not any(row["minutes firing"] for row in alerts), "nothing fires where nothing was bad"
table(alerts, {"highest burn rate": ",.1f", "factor": "g"})

# %%
widths = [f"{long // 60} h" for _, _, long, _ in PAIRS]
rates = minutes.select("minute", *(burn(long, 100).alias(f"{long // 60} h") for _, _, long, _ in PAIRS))
drawn = (
    rates.group_by_dynamic("minute", every="1h")
    .agg(pl.col(widths).max())
    # Where a window says nothing its line is broken.
    .upsample("minute", every="1h")
    .unpivot(widths, index="minute", variable_name="window", value_name="burn")
    .with_columns(utc("minute"))
)
steps = alt.Axis(values=[0, 1, 3, 10, 30, 100, 300, 1000])
line = (
    alt.Chart(
        drawn,
        title=alt.Title(
            "Burn rate of the availability budget", subtitle="the highest of each hour; no line where too few asked"
        ),
    )
    .mark_line(interpolate="step-after", invalid="break-paths-show-path-domains", point=alt.OverlayMarkDef(size=6))
    .encode(
        alt.X(
            "minute:T", title="time, UTC", scale=alt.Scale(type="utc"), axis=alt.Axis(format="%-d %b", tickCount="day")
        ),
        alt.Y("burn:Q", title="burn rate (1 spends it in the period)", scale=alt.Scale(type="symlog"), axis=steps),
        alt.Color("window:N", title="window", sort=widths),
    )
)
limits = pl.DataFrame({"burn": [14.4, 1.0], "text": ["14.4: page", "1: just spent"]})
rules = alt.Chart(limits).mark_rule(strokeDash=[4, 3], color="#888888").encode(y="burn:Q")
names = (
    alt.Chart(limits).mark_text(align="left", dy=-6, color="#555555").encode(x=alt.value(4), y="burn:Q", text="text:N")
)
draw(line + rules + names, "burn-rate")

# %%
paged = [row for row in alerts if row["alert"] == "page" and row["minutes firing"]]
worst = max(alerts, key=lambda row: row["highest burn rate"])
say(
    (
        f"A page would have gone out first at {min(row['first'] for row in paged)} UTC. "
        if paged
        else "No page would have gone out. "
    )
    + f"The highest burn rate was {worst['highest burn rate']:,.1f}, over {worst['windows'].split(' and')[0]}; all "
    f"requests bad would be {1 / (1 - AVAILABILITY):,.0f}.",
    "There is something to be said in "
    + listed([f"{percent(rates[width].is_not_null().mean(), 1)} of the windows of {width}" for width in widths])
    + ". **Where so few ask, an alert on requests alone is nearly blind**; a prober's calls would fill the gaps."
    if rates[widths[0]].is_not_null().mean() < 0.5
    else "",
)

# %% [markdown]
# ## Latency, start, confirmation, success
#
# The other service levels, each as good events of all events. Latency counts 2xx alone, within 300 and 500 ms exactly,
# and only those that a clock has timed: virtual time stands still while a synthetic request is answered.
# A failed job counts against the platform unless the client was at fault, which is when it was charged. The prober's
# own jobs are left out: what came of them stands among the probes.

# %%
synthetic = synthetic_part(Path(LOG))
untimed = dt.datetime.min if synthetic is None else dt.datetime.fromisoformat(synthetic.to).replace(tzinfo=None)
ok = requests.filter(
    (pl.col("source") == "api")
    & (pl.col("plan") != "none")
    & pl.col("status").is_between(200, 299)
    & (pl.col("minute") >= untimed)
)
jobs = ask("FROM jobs WHERE tenant NOT IN (SELECT unnest($own::VARCHAR[]))", own=sorted(UNBILLED)).with_columns(
    (pl.coalesce("started_at", "ended_at") - pl.col("accepted_at")).alias("to_start"),
    (pl.col("confirmed_at") - pl.col("ended_at")).alias("to_final"),
    (pl.col("ended_at") - pl.col("accepted_at")).alias("to_end"),
)
ended = jobs.filter(pl.col("status").is_in(["completed", "confirmed", "failed"]))
fault = (pl.col("status") == "failed") & (pl.col("charge") != "charged")
chain = jobs.filter(pl.col("to_final").is_not_null())


def level(name, objective, good, events):
    """One service level: good events of all, and what is left of its budget."""
    allowed = (1 - objective) * events if objective else 0
    return {
        "service level": name,
        "objective": objective,
        "good": good,
        "events": events,
        "achieved": good / events if events else None,
        "budget left": 1 - (events - good) / allowed if allowed else None,
    }


judged = ended.filter((pl.col("status") != "failed") | fault)
levels = [
    level("requests are answered", AVAILABILITY, total - bad, total),
    level("2xx within 300 ms", WITHIN_300_MS, ok["within_300ms"].sum(), ok["requests"].sum()),
    level("2xx within 500 ms", WITHIN_500_MS, ok["within_500ms"].sum(), ok["requests"].sum()),
    level(
        "jobs start within 30 s",
        STARTED,
        jobs.filter(pl.col("to_start") <= dt.timedelta(seconds=30)).height,
        jobs.filter(pl.col("to_start").is_not_null()).height,
    ),
    level(
        "jobs are final within 60 s of their end",
        CONFIRMED,
        chain.filter(pl.col("to_final") <= dt.timedelta(seconds=60)).height,
        chain.height,
    ),
    level("jobs succeed", SUCCEEDED, judged.filter(~fault).height, judged.height),
    level(
        "jobs end within 5 min", None, ended.filter(pl.col("to_end") <= dt.timedelta(minutes=5)).height, ended.height
    ),
]
assert all(0 <= row["good"] <= row["events"] for row in levels)
by_name = {row["service level"]: row for row in levels}
again = logs.jobs.filter(~pl.col("tenant").is_in(sorted(UNBILLED))).collect()
assert (
    by_name["jobs succeed"]["events"]
    == again.filter(
        pl.col("status").is_in(["completed", "confirmed"])
        | ((pl.col("status") == "failed") & (pl.col("charge") == "released"))
    ).height
)
assert by_name["2xx within 300 ms"]["good"] <= by_name["2xx within 500 ms"]["good"]

table(
    levels,
    {
        "objective": lambda value: percent(value, 1),
        "achieved": lambda value: percent(value, 3),
        "budget left": lambda value: percent(value) if value >= 0 else f"spent {1 - value:,.1f} times",
    },
)

# %%
daily = (
    pl.concat(
        [
            counted.group_by(pl.col("minute").dt.date().alias("day"))
            .agg(
                pl.col("requests").sum().alias("events"),
                (pl.col("requests") - pl.col("errors_5xx") - pl.col("timeouts")).sum().alias("good"),
            )
            .with_columns(pl.lit("requests are answered").alias("level"), pl.lit(AVAILABILITY).alias("objective")),
            jobs.filter(pl.col("to_start").is_not_null())
            .group_by(pl.col("accepted_at").dt.date().alias("day"))
            .agg(pl.len().alias("events"), (pl.col("to_start") <= dt.timedelta(seconds=30)).sum().alias("good"))
            .with_columns(pl.lit("jobs start within 30 s").alias("level"), pl.lit(STARTED).alias("objective")),
            chain.group_by(pl.col("ended_at").dt.date().alias("day"))
            .agg(pl.len().alias("events"), (pl.col("to_final") <= dt.timedelta(seconds=60)).sum().alias("good"))
            .with_columns(
                pl.lit("jobs are final within 60 s of their end").alias("level"), pl.lit(CONFIRMED).alias("objective")
            ),
            judged.group_by(pl.col("ended_at").dt.date().alias("day"))
            .agg(pl.len().alias("events"), fault.not_().sum().alias("good"))
            .with_columns(pl.lit("jobs succeed").alias("level"), pl.lit(SUCCEEDED).alias("objective")),
        ],
        how="diagonal_relaxed",
    )
    .sort("level", "day")
    .with_columns(
        (pl.col("good") / pl.col("events")).alias("achieved"),
        pl.col("day").cast(pl.String).alias("sort"),
        pl.col("day").dt.strftime("%-d %b").alias("label"),
    )
    .with_columns(
        pl.when(pl.col("achieved") >= pl.col("objective"))
        .then(pl.lit("kept"))
        .otherwise(pl.lit("missed"))
        .alias("objective was")
    )
)
for name in daily["level"].unique().to_list():
    part = daily.filter(pl.col("level") == name)
    assert (part["good"].sum(), part["events"].sum()) == (by_name[name]["good"], by_name[name]["events"]), name

order = [row["service level"] for row in levels if row["service level"] in daily["level"].to_list()]
base = alt.Chart(
    daily, title=alt.Title("Service levels by day", subtitle="what was achieved, and whether that keeps the objective")
)
few = daily["day"].n_unique() <= 12
cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
    alt.X("label:N", title="day, UTC", sort=alt.SortField("sort"), axis=alt.Axis(labelAngle=0 if few else -60)),
    alt.Y("level:N", title=None, sort=order, axis=alt.Axis(labelLimit=260)),
    alt.Color("objective was:N", scale=alt.Scale(domain=["kept", "missed"], range=["#9ecae1", "#e6550d"])),
)
figures = base.mark_text(fontSize=10).encode(
    alt.X("label:N", sort=alt.SortField("sort")), alt.Y("level:N", sort=order), alt.Text("achieved:Q", format=".1%")
)
draw((cells + figures if few else cells).properties(height=150), "service-levels-by-day")

# %%
told = [row for row in levels if row["objective"] and row["events"]]
missed = [row for row in told if row["achieved"] < row["objective"]]
unsaid = [f"*{row['service level']}*" for row in levels if row["objective"] and not row["events"]]
to_final_s = chain["to_final"].dt.total_milliseconds().quantile(0.5, "nearest") / 1000 if chain.height else 0
held = chain.filter(pl.col("ended_at").max().over("batch_id") - pl.col("ended_at") > dt.timedelta(seconds=60)).height
assert held + by_name["jobs are final within 60 s of their end"]["good"] <= chain.height
say(
    f"{len(told) - len(missed)} of {len(told)} objectives are kept over the whole log."
    + (f" On {listed(unsaid)} it says nothing: no such request was timed." if unsaid else "")
    + "".join(
        f" *{row['service level'].capitalize()}* is missed: {percent(row['achieved'], 2)} against "
        f"{percent(row['objective'], 1)}."
        for row in missed
    ),
    f"Half of the jobs were final {to_final_s:,.0f} s after their end or later; {percent(held / chain.height)} ended "
    "more than 60 s before the last job of their own batch. **How long a batch waits for more jobs is a setting, and "
    "with this one the objective cannot be met**; *Gas and batching* says what a shorter one costs."
    if held > (1 - CONFIRMED) * chain.height
    else "",
)

# %% [markdown]
# ## What is owed for it
#
# A month below a plan's SLA earns back a tenth of the fee, below 99 % a quarter. Probes count for every plan, since
# anyone's request might have been one.

# %%
owed = []
for plan in book.plans.values():
    if plan.sla_percent:
        own = next(iter(plans.filter(pl.col("plan") == plan.name).to_dicts()), {"total": 0, "bad": 0})
        events, wrong = own["total"] + probe_total, own["bad"] + probe_bad
        kept = 1 - wrong / events if events else None
        owed.append(
            {
                "plan": plan.name,
                "SLA": f"{plan.sla_percent:g} %",
                "requests": own["total"],
                "probes": probe_total,
                "bad": wrong,
                "available": percent(kept, 3) if events else "unknown",
                "holds": "unknown" if kept is None else "yes" if kept * 100 >= plan.sla_percent else "no",
            }
        )
table(owed)

# %%
broken = [row["plan"] for row in owed if row["holds"] == "no"]
say(
    (
        f"The SLA of {listed(broken)} is broken: their invoices carry a service credit, unless the rest of the month "
        "heals it."
        if broken
        else "No SLA is broken."
    ),
    "**Read with care:** this is one log from its beginning to its end, not a rolling period; a 4xx is the caller's "
    "and does not count as bad, whatever made the caller send it; a job that was refused is in the requests and not "
    "among the jobs.",
)
