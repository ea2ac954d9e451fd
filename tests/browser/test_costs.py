"""What pictures cost, in a real browser: this machine's rate is set in Insights, and prices what was drawn."""
from __future__ import annotations

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]


def test_this_machine_s_rate_is_set_and_prices_what_was_drawn(launched, new_page, expect):
    launched.draw(ladder=False)
    page = new_page(width=1600)
    page.get_by_role("tab", name="Insights").click()
    costs = page.get_by_role("region", name="What pictures cost", exact=True)
    expect(costs).to_contain_text("This machine's time is not priced until its rate is set.")
    gpu = page.get_by_role("region", name="When does a GPU pay?", exact=True)
    expect(gpu).to_contain_text("was never said")
    costs.get_by_text("Set what this machine costs").click()
    costs.get_by_label("Reckoned by").select_option("power")
    expect(costs.get_by_label("A price an hour, in dollars")).to_be_hidden()
    costs.get_by_label("Power under load, in watts").fill("a lot")
    costs.get_by_label("A kilowatt hour, in dollars").fill("0.32")
    costs.get_by_role("button", name="Keep").click()
    expect(costs.get_by_role("alert")).to_have_text("Watts and months are numbers.")
    costs.get_by_label("Power under load, in watts").fill("450")
    costs.get_by_role("button", name="Keep").click()
    expect(costs).to_contain_text("This machine: $0.144 an hour (450 W at $0.32 a kWh)")
    expect(costs.get_by_role("region", name="Cost by tier")).to_contain_text("Preview")
    expect(costs.locator(".cs-said")).to_contain_text("a kept picture")
    costs.get_by_label("Cost by", exact=True).select_option("provider")
    expect(costs.get_by_role("region", name="Cost by where")).to_contain_text("This machine")
    link = costs.get_by_role("link", name="What pictures cost as CSV")
    expect(link).to_have_attribute("href", "/api/insights/costs.csv?range=30&by=provider")
