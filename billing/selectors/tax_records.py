"""A tax invoice record as JSON: every mandatory field, and how far it got."""

from __future__ import annotations

from typing import Any

from billing.models import TaxInvoice


def tax_invoice_dict(record: TaxInvoice) -> dict[str, Any]:
    """The record for files, pages and APIs; amounts are whole won."""
    return {
        "provider_key": record.provider_key,
        "type_code": record.type_code,
        "purpose_code": record.purpose_code,
        "write_date_on": record.write_date_on.isoformat(),
        "deadline_on": record.deadline_on.isoformat() if record.deadline_on else None,
        "amendment_code": record.amendment_code,
        "amends": record.amends.approval_no if record.amends else None,
        "supplier": record.supplier,
        "buyer": record.buyer,
        "buyer_type_code": record.buyer_type_code,
        "lines": record.lines,
        "remark": record.remark,
        "supply_krw": record.supply_krw,
        "vat_krw": record.vat_krw,
        "total_krw": record.total_krw,
        "status": record.status,
        "nts_status": record.nts_status,
        "approval_no": record.approval_no,
        "issued_at": record.issued_at.isoformat() if record.issued_at else None,
        "error_code": record.error_code,
        "error_message": record.error_message,
    }
