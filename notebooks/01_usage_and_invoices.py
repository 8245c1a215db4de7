# %% [markdown]
# # Usage and invoices
#
# Who used the platform in a month, what each tenant is billed for it, and whether the bill adds up. Usage is what was
# *charged*: the endings of jobs whose reservation was charged, in the UTC month in which the job was accepted. Money is
# in whole cents, units in whole compute units (CU); nothing here is rounded but for the eye.
#
# The figures come three ways and must agree: from SQL over the Parquet log, from the same log in Polars, and from the
# program that makes the invoices.

# %% tags=["parameters"]
import os

from zjops.analytics.notebook import small_log

LOG = os.environ.get("ZJOPS_LOG") or small_log()  # the folder of a log; without one a small synthetic one is played
MONTH = None  # such as "2026-10", in UTC; None takes the newest month of the log
PNG = None  # a folder into which every chart is written as PNG, too

# %%
from pathlib import Path

import altair as alt
import duckdb
import polars as pl

from zjops.analytics.documents import line_rows, part
from zjops.analytics.explain import explain
from zjops.analytics.frames import frames
from zjops.analytics.issued import billing_dir, invoices_of
from zjops.analytics.notebook import PLAN_COLOURS, drawing, open_log, percent, reach, say, table
from zjops.analytics.tieout import tie_out
from zjops.analytics.viewfile import views_sql
from zjops.domain.clock import utc_month
from zjops.domain.invoices import dollars
from zjops.domain.plans import price_book
from zjops.domain.requests import UNBILLED

draw = drawing(PNG)
log, book = open_log(LOG), price_book()
db, logs = duckdb.connect(), frames(Path(LOG))
db.execute(views_sql(Path(LOG)))


def ask(text, **given):
    """The rows of a SELECT over the log's views, as a frame."""
    return pl.DataFrame(db.sql(text, params=given or None))


watermark = log.watermark()
month = MONTH or utc_month(watermark)
plans = list(book.plans)  # from the smallest to the largest
shades = alt.Scale(domain=plans, range=list(PLAN_COLOURS))
read, invoices = invoices_of(log, billing_dir(Path(LOG)), month, book, now_ms=watermark)
assert invoices, f"the log holds nothing of {month}"

# %% [markdown]
# ## What the log covers

# %%
charged = ask(
    "FROM charged_jobs WHERE month = $month AND tenant NOT IN (SELECT unnest($unbilled::VARCHAR[]))",
    month=month,
    unbilled=sorted(UNBILLED),
)
first, last = charged["accepted_at"].min(), charged["accepted_at"].max()
days, total_jobs, total_units = charged["day"].n_unique(), charged.height, charged["compute_units"].sum()

polars_says = (
    logs.charged_jobs.filter((pl.col("month") == month) & ~pl.col("tenant").is_in(sorted(UNBILLED)))
    .select(pl.len().alias("jobs"), pl.col("compute_units").sum())
    .collect()
)
assert polars_says.row(0) == (total_jobs, total_units)
assert sum(invoice.jobs for invoice in invoices) == total_jobs
assert sum(invoice.units.total for invoice in invoices) == total_units

say(
    f"In {month} the platform charged **{total_units:,} CU for {total_jobs:,} jobs** of {charged['tenant'].n_unique()} "
    f"tenants, accepted "
    + (f"on {days} days from {first:%-d %B} to {last:%-d %B}." if days > 1 else f"on {first:%-d %B}.")
    + f" {reach(log)}",
    f"SQL, Polars and the {len(invoices)} invoices agree on both figures.",
)

# %% [markdown]
# ## Usage by day
#
# By its rhythm one can tell who starts the jobs: people rest at the weekend, schedules do not.

# %%
daily = charged.group_by("day", "job_type").agg(pl.len().alias("jobs"), pl.col("compute_units").sum())
daily = daily.sort("day", "job_type")
assert (
    daily["compute_units"].sum()
    == ask(
        "SELECT sum(compute_units)::BIGINT AS units FROM usage_daily WHERE strftime(day, '%Y-%m') = $month "
        "AND tenant NOT IN (SELECT unnest($unbilled::VARCHAR[]))",
        month=month,
        unbilled=sorted(UNBILLED),
    ).item()
    == total_units
)

draw(
    alt.Chart(
        daily.with_columns(pl.col("day").dt.strftime("%a %-d %b").alias("label"), pl.col("day").cast(pl.String)),
        title=alt.Title("Compute units charged by day", subtitle=f"{month}, by UTC day of acceptance"),
    )
    .mark_bar()
    .encode(
        alt.X("label:N", title=None, sort=alt.SortField("day"), axis=alt.Axis(labelAngle=-40 if days > 12 else 0)),
        alt.Y("compute_units:Q", title="compute units (CU)", axis=alt.Axis(format=",d", tickCount=6)),
        alt.Color("job_type:N", title="job type"),
    ),
    "usage-by-day",
)

# %%
by_day = daily.group_by("day").agg(pl.col("jobs").sum(), pl.col("compute_units").sum()).sort("day")
busiest = by_day.sort("compute_units", descending=True).row(0, named=True)
weekend = by_day.filter(pl.col("day").dt.weekday() >= 6)["compute_units"]
weekdays = by_day.filter(pl.col("day").dt.weekday() < 6)["compute_units"]
quiet = (
    f" A day of the weekend brings {percent(weekend.mean() / weekdays.mean())} of the units of a weekday."
    if len(weekend) and len(weekdays)
    else ""
)
say(
    f"The busiest day was {busiest['day']:%A, %-d %B}, with {busiest['compute_units']:,} CU of {busiest['jobs']:,} "
    f"jobs, {percent(busiest['compute_units'] / total_units)} of the month.{quiet}"
)

# %% [markdown]
# ## Who uses it
#
# The length of a bar is what matters for capacity; its colour is what matters for revenue, since a plan's fee does not
# follow use.

# %%
plan_of = {invoice.tenant: invoice.plan for invoice in invoices}
by_tenant = charged.group_by("tenant").agg(pl.len().alias("jobs"), pl.col("compute_units").sum())
by_tenant = by_tenant.with_columns(pl.col("tenant").replace_strict(plan_of).alias("plan")).sort(
    ["compute_units", "tenant"], descending=[True, False]
)
assert dict(by_tenant.select("tenant", "compute_units").iter_rows()) == {
    invoice.tenant: invoice.units.total for invoice in invoices if invoice.jobs
}

draw(
    alt.Chart(by_tenant.head(12), title=alt.Title("The largest tenants", subtitle=f"compute units charged in {month}"))
    .mark_bar()
    .encode(
        alt.X("compute_units:Q", title="compute units (CU)", axis=alt.Axis(format=",d", tickCount=6)),
        alt.Y("tenant:N", title=None, sort=None),
        alt.Color("plan:N", title="plan at the month's end", scale=shades),
    ),
    "largest-tenants",
)

# %%
cumulated = (by_tenant["compute_units"].cum_sum() / total_units).to_list()
half = next(number for number, share in enumerate(cumulated, 1) if share >= 0.5)
cents_of = {invoice.tenant: invoice.total_cents for invoice in invoices}
all_cents = sum(cents_of.values())
largest, few = by_tenant["tenant"][0], by_tenant["tenant"].head(half).to_list()
few_cents = sum(cents_of[tenant] for tenant in few)
assert by_tenant.head(half)["compute_units"].sum() * 2 >= total_units
assert by_tenant.head(half - 1)["compute_units"].sum() * 2 < total_units
say(
    f"**{half} of {len(invoices)} tenants make half of the usage**; the largest, {largest}, alone "
    f"{percent(cumulated[0])}."
    + (
        f" These {half} bring {percent(few_cents / all_cents)} of the revenue, {largest} alone "
        f"{percent(cents_of[largest] / all_cents)}."
        if all_cents > 0
        else ""
    )
)

# %% [markdown]
# ## The invoices
#
# Fees are for the whole month, also where the log holds a part of it: a month in progress shows its full fees and the
# overage so far.

# %%
by_plan = [
    {
        "plan": plan,
        "invoices": len(of),
        "jobs": sum(one.jobs for one in of),
        "units": sum(one.units.total for one in of),
        "fees": sum(part(one, "plan-fee") for one in of),
        "overage": sum(part(one, "overage") + part(one, "overage-discounted") for one in of),
        "credits": sum(part(one, "credit") + part(one, "sla-credit") for one in of),
        "corrections": sum(part(one, "correction") for one in of),
        "total": sum(one.total_cents for one in of),
    }
    for plan in plans
    for of in [[invoice for invoice in invoices if invoice.plan == plan]]
]
revenue = sum(row["total"] for row in by_plan)
sums = {name: sum(row[name] for row in by_plan) for name in by_plan[0] if name != "plan"}
assert revenue == sum(invoice.total_cents for invoice in invoices)
assert revenue == sums["fees"] + sums["overage"] + sums["credits"] + sums["corrections"]

money = dict.fromkeys(("fees", "overage", "credits", "corrections", "total"), dollars)
table([*by_plan, {"plan": "**all**"} | sums], money)

# %%
shares = pl.DataFrame(
    [
        {"plan": row["plan"], "of": name, "share": row[key] / whole if whole else 0.0}
        for row in by_plan
        for name, key, whole in (("units", "units", total_units), ("revenue", "total", revenue))
    ]
)
draw(
    alt.Chart(shares, title=alt.Title("Who uses, and who pays", subtitle=f"each plan's share, {month}"))
    .mark_bar()
    .encode(
        alt.X("share:Q", title="share of all", axis=alt.Axis(format="%", tickCount=8)),
        alt.Y("plan:N", title=None, sort=plans),
        alt.YOffset("of:N", sort=["units", "revenue"]),
        alt.Color("of:N", title="share of", sort=["units", "revenue"]),
    )
    .properties(height=220),
    "units-and-revenue",
)

# %%
top = max(by_plan, key=lambda row: row["total"])
by_use = max((row for row in by_plan if row["units"]), key=lambda row: row["units"])
say(
    f"**{dollars(revenue)}** are invoiced for {month}: {dollars(sums['fees'])} in fees, {dollars(sums['overage'])} in "
    f"overage, {dollars(sums['credits'] + sums['corrections'])} in credits and corrections. "
    f"{top['plan'].capitalize()} brings "
    f"{percent(top['total'] / revenue)} of the revenue with {percent(top['units'] / total_units)} of the units; "
    f"{by_use['plan']} uses most, {percent(by_use['units'] / total_units)} of all units, and brings "
    f"{percent(by_use['total'] / revenue)}."
    if revenue > 0
    else f"Nothing is earned in {month}: the invoices come to {dollars(revenue)}."
)

# %% [markdown]
# ## How full the allowances are
#
# Use beside what a plan includes. Above the line a tenant is in its buffer or pays overage; close below it, it is the
# one to talk to about the next plan. A tenant who changed plans is held against its last one.

# %%
usage_of = {usage.tenant: usage for usage in read.usage}
fill = pl.DataFrame(
    [
        {
            "tenant": one.tenant,
            "plan": one.plan,
            "units": one.units.total,
            "included": usage_of[one.tenant].terms[-1].plan.compute_units,
        }
        for one in invoices
    ]
).with_columns((pl.col("units") / pl.col("included")).alias("share"))
fullest = fill.sort(["share", "tenant"], descending=[True, False]).head(12)
assert fill["units"].sum() == total_units

bar = (
    alt.Chart(
        fullest,
        title=alt.Title(
            "The fullest allowances",
            subtitle=f"charged units of the included ones, {month}; dashed: 80 % and all of them",
        ),
    )
    .mark_bar()
    .encode(
        alt.X("share:Q", title="share of the plan's included units", axis=alt.Axis(format="%")),
        alt.Y("tenant:N", title=None, sort=None),
        alt.Color("plan:N", title="plan", scale=shades),
    )
)
limit = alt.Chart(pl.DataFrame({"share": [0.8, 1.0]})).mark_rule(strokeDash=[4, 3]).encode(x="share:Q")
draw(bar + limit, "allowances")

# %%
over, near = fill.filter(pl.col("share") > 1), fill.filter((pl.col("share") > 0.8) & (pl.col("share") <= 1))
lines_over = sum(one.units.buffer + one.units.overage for one in invoices)
for one in invoices:
    if len(usage_of[one.tenant].terms) == 1:
        included = usage_of[one.tenant].terms[0].plan.compute_units
        assert one.units.buffer + one.units.overage == max(0, one.units.total - included)
say(
    f"{over.height} of {fill.height} tenants used more than their plan includes, {near.height} more than 80 % of it."
    + (f" In all, {lines_over:,} CU were above an allowance." if lines_over else "")
)

# %% [markdown]
# ## One invoice, by hand
#
# The invoice with the most overage, or the dearest one where nobody has any. The lines below are the program's; the
# cell derives the amounts again from the plan's terms and compares.

# %%
chosen = max(invoices, key=lambda one: (one.units.overage, one.total_cents, one.tenant))
table(line_rows(chosen))

# %%
terms = usage_of[chosen.tenant].terms
plan = terms[-1].plan
used = ask(
    "SELECT coalesce(sum(compute_units), 0)::BIGINT AS units FROM charged_jobs WHERE tenant = $tenant AND month = "
    "$month",
    tenant=chosen.tenant,
    month=month,
).item()
assert chosen.units.included + chosen.units.buffer + chosen.units.overage == used == sum(term.units for term in terms)
assert chosen.total_cents == sum(line.amount_cents for line in chosen.lines)

if len(terms) == 1:
    included = min(used, plan.compute_units)
    buffer = min(used - included, plan.buffer_units)
    overage = used - included - buffer
    full = overage if plan.discount_after_units is None else min(overage, plan.discount_after_units)
    cheaper = plan.overage_nanousd * (100 - plan.discount_percent) // 100
    priced = ((full, plan.overage_nanousd), (overage - full, cheaper)) if plan.overage_allowed else ((0, 0), (0, 0))
    # Nano-dollars to cents, half up, a line at a time.
    cents = [(2 * units * price + 10**7) // (2 * 10**7) for units, price in priced]
    assert (chosen.units.included, chosen.units.buffer, chosen.units.overage) == (included, buffer, overage)
    assert part(chosen, "overage") == cents[0]
    assert part(chosen, "overage-discounted") == cents[1]
    assert part(chosen, "plan-fee") == round(plan.fee_microusd / 10_000)

say(
    f"{chosen.tenant} used {used:,} CU on the {chosen.plan} plan: {chosen.units.included:,} included, "
    f"{chosen.units.buffer:,} in the buffer, {chosen.units.overage:,} as overage. The lines add to "
    f"**{dollars(chosen.total_cents)}**, {chosen.tax}."
)

# %% [markdown]
# ## Plans that changed within the month
#
# A day is paid by the plan that held when it began; the new limit holds for the whole month at once.

# %%
changed = [usage for usage in read.usage if len(usage.terms) > 1]
fee_days = [
    {"tenant": one.tenant, "line": line.description, "days": line.days, "fee": dollars(line.amount_cents)}
    for one in invoices
    if one.tenant in {usage.tenant for usage in changed}
    for line in one.lines
    if line.code == "plan-fee"
]
month_days = {one.tenant: sum(line.days for line in one.lines if line.code == "plan-fee") for one in invoices}
assert len(set(month_days.values())) == 1, "every tenant pays every day of the month once"
say(
    f"{len(changed)} of {len(invoices)} tenants changed plans within {month}"
    + (f"; the first 12 of {len(fee_days)} lines are shown." if len(fee_days) > 12 else "."),
    table(fee_days[:12]).text if fee_days else "",
)

# %% [markdown]
# ## From a line to its events
#
# `zjops invoice explain TENANT LINE` does this at the command line. The last usage line of the invoice above, and the
# first of the jobs behind it: each has the event that charged it and, once it is final, the batch that confirms it.

# %%
number = max(at for at, line in enumerate(chosen.lines, 1) if line.unit == "CU" and not line.reference)
found = explain(log, chosen, number, book, watermark)
assert sum(row["units"] for row in found.rows) == found.line.quantity
assert len({row["event"] for row in found.rows}) == len(found.rows), "no event is billed twice"
confirmed = sum(row["transaction"] is not None for row in found.rows)

shown = [
    {"job": row["job"], "accepted": row["accepted"], "CU billed": row["units"], "of": row["of"], "batch": row["batch"]}
    for row in found.rows[:5]
]
say(
    f"Line {number}, *{found.line.description}*: {found.text}. {confirmed:,} of these {len(found.rows):,} jobs are "
    "final on chain.",
    table(shown).text,
)

# %% [markdown]
# ## Does it add up?
#
# The month's identities, each counted from the log and from the invoices apart. A difference other than 0 stops the
# close of the month (`zjops close`).

# %%
tied = tie_out(log, month, invoices)
assert tied.holds, tied.wrong[:5]
table([{"identity": identity.text(), "difference": identity.residual} for identity in tied.identities])

# %%
open_jobs, waiting = len(tied.in_flight), len(tied.awaiting_finality)
say(
    "Every identity holds. "
    + (
        f"{open_jobs:,} jobs are still in flight and {waiting:,} await finality: the month's figures can still grow."
        if open_jobs or waiting
        else "No job is in flight and none awaits finality."
    ),
    "**Read with care:** units are what was charged, not what was asked for; what was refused left no job. "
    "Taxes are left out. Until the month is closed each figure is a draft that a late event may still change.",
)
