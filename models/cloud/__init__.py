"""Pictures drawn by others for money: one engine a provider over one transport, and what is known of each before a call."""
