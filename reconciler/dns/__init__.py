"""Health and live addresses -> DNS records, planned and applied by octoDNS."""
