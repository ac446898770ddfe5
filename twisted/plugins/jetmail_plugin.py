"""Tells twistd that it can run `jetmail`. Nothing else may live here: Twisted loads every plugin to list any."""

from twisted.application.service import ServiceMaker

jetmail = ServiceMaker("jetmail", "jetmail.tap", "A mail appliance: receives, judges, queues durably and delivers.", "jetmail")
