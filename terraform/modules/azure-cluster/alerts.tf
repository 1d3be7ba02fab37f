# Alarms of the platform itself, which hold when the relay cannot speak. The relay's own come with its metrics.
locals {
  # One of the relays answers the probe, the others say 503 on purpose. Whole numbers: Azure gives fractions back rounded,
  # and every plan would find a change.
  nobody_below = floor(50 / length(local.relays))
  two_above    = floor(150 / length(local.relays))

  balancer_alerts = {
    nobody-holds-the-address = { severity = 0, metric = "DipAvailability", operator = "LessThan", threshold = local.nobody_below, text = "No relay answers for the virtual address: clients cannot connect." }
    two-hold-the-address     = { severity = 1, metric = "DipAvailability", operator = "GreaterThan", threshold = local.two_above, text = "More than one relay answers for the virtual address. No mail is lost by it; find out why." }
    address-unreachable      = { severity = 0, metric = "VipAvailability", operator = "LessThan", threshold = 90, text = "The load balancer's data path is broken." }
  }
  host_alerts = {
    host-down = { severity = 1, metric = "VmAvailabilityMetric", operator = "LessThan", threshold = 1, text = "A host is down. Mail goes on; its queue is taken over." }
    disk-busy = { severity = 2, metric = "Data Disk IOPS Consumed Percentage", operator = "GreaterThan", threshold = 90, text = "A data disk is at its limit: every 250 waits for it. Make it larger." }
    cpu-busy  = { severity = 2, metric = "Percentage CPU", operator = "GreaterThan", threshold = 90, text = "A host's processors are busy all the time." }
  }
  egress_alerts = {
    for pair in setproduct(keys(var.network.zones), ["DatapathAvailability", "PacketDropCount"]) :
    "egress-${pair[0]}-${lower(pair[1])}" => { zone = pair[0], metric = pair[1] }
  }
}

resource "azurerm_monitor_action_group" "relay" {
  name                = "ag-${var.name}"
  resource_group_name = local.place.resource_group_name
  short_name          = substr(replace(var.name, "-", ""), 0, 12)
  tags                = local.tags

  dynamic "email_receiver" {
    for_each = var.alerts.emails

    content {
      name                    = email_receiver.key
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }

  dynamic "webhook_receiver" {
    for_each = var.alerts.webhooks

    content {
      name                    = webhook_receiver.key
      service_uri             = webhook_receiver.value
      use_common_alert_schema = true
    }
  }
}

resource "azurerm_monitor_metric_alert" "balancer" {
  for_each = local.balancer_alerts

  name                = "${var.name}-${each.key}"
  resource_group_name = local.place.resource_group_name
  scopes              = [azurerm_lb.relay.id]
  description         = each.value.text
  severity            = each.value.severity
  frequency           = "PT1M"
  window_size         = "PT5M"
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.Network/loadBalancers"
    metric_name      = each.value.metric
    aggregation      = "Average"
    operator         = each.value.operator
    threshold        = each.value.threshold
  }

  action {
    action_group_id = azurerm_monitor_action_group.relay.id
  }
}

resource "azurerm_monitor_metric_alert" "host" {
  for_each = local.host_alerts

  name                     = "${var.name}-${each.key}"
  resource_group_name      = local.place.resource_group_name
  scopes                   = [for name, vm in azurerm_linux_virtual_machine.node : vm.id]
  target_resource_type     = "Microsoft.Compute/virtualMachines"
  target_resource_location = var.location
  description              = each.value.text
  severity                 = each.value.severity
  frequency                = "PT1M"
  window_size              = each.key == "host-down" ? "PT5M" : "PT15M"
  tags                     = local.tags

  criteria {
    metric_namespace = "Microsoft.Compute/virtualMachines"
    metric_name      = each.value.metric
    aggregation      = "Average"
    operator         = each.value.operator
    threshold        = each.value.threshold
  }

  action {
    action_group_id = azurerm_monitor_action_group.relay.id
  }
}

resource "azurerm_monitor_metric_alert" "egress" {
  for_each = local.egress_alerts

  name                = "${var.name}-${each.key}"
  resource_group_name = local.place.resource_group_name
  scopes              = [azurerm_nat_gateway.zone[each.value.zone].id]
  description         = "The way out of zone ${each.value.zone} fails; its node hands its queue to the others."
  severity            = 2
  frequency           = "PT5M"
  window_size         = "PT15M"
  tags                = local.tags

  criteria {
    metric_namespace = "Microsoft.Network/natGateways"
    metric_name      = each.value.metric
    aggregation      = each.value.metric == "PacketDropCount" ? "Total" : "Average"
    operator         = each.value.metric == "PacketDropCount" ? "GreaterThan" : "LessThan"
    threshold        = each.value.metric == "PacketDropCount" ? 100 : 90
  }

  action {
    action_group_id = azurerm_monitor_action_group.relay.id
  }
}
