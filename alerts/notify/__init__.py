"""Notifications: outbox -> routing rules -> deliveries -> messages -> channels."""
