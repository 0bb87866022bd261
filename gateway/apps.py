from django.apps import AppConfig


class GatewayConfig(AppConfig):
    name = "gateway"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from billing.audit import add_checks
        from gateway.audit import check_gateway

        add_checks(check_gateway)
