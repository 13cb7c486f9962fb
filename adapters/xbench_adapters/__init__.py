"""The adapters that come with xbench; each registers as a third party's would."""
